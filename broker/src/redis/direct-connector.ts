/**
 * Connects ioredis to a server without Sentinels. It differs from the connector of ioredis in one point: what arrives
 * is read into one buffer. A stream of Node.js allocates a buffer, and schedules a callback, for each read.
 */
import { connect as connectTcp, type OnReadOpts, type Socket, type TcpNetConnectOpts } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector, type RedisOptions } from 'ioredis';

/** Size of the buffer, in bytes: as much as Node.js reads at once. */
const bufferBytes = 65_536;

/**
 * Receives the bytes that have arrived: the first `length` bytes of a buffer, which is valid until this function
 * returns.
 */
type Read = (bytes: Buffer, length: number) => void;

const readers = new WeakMap<Socket, Read>();

export class DirectConnector extends AbstractConnector {
  readonly #options: RedisOptions;

  /** `options`: the options of ioredis. They may change between two connections. */
  constructor(options: unknown) {
    const read = options as RedisOptions;
    super(read.disconnectTimeout ?? 2_000);
    this.#options = read;
  }

  override async connect(): Promise<Socket> {
    this.connecting = true;
    // Like the connector of ioredis: a `disconnect` in this turn ends the attempt.
    await new Promise<void>((resolve) => process.nextTick(resolve));
    if (!this.connecting) throw new Error('Connection is closed.');
    const { path, host, port, family, tls } = this.#options;
    const server = path === undefined ? { host, port: port ?? 6379, family } : { path };
    const buffer = Buffer.allocUnsafeSlow(bufferBytes);
    const onread: OnReadOpts = {
      buffer,
      callback(length) {
        readers.get(socket)?.(buffer, length);
        return true;
      },
    };
    const options = { ...server, onread } as TcpNetConnectOpts;
    const socket: Socket = tls ? connectTls({ ...options, ...tls }) : connectTcp(options);
    // During the handshake ioredis reads. It may keep the bytes.
    readers.set(socket, (bytes, length) => socket.emit('data', Buffer.from(bytes.subarray(0, length))));
    socket.once('error', (error: Error) => {
      this.firstError = error;
    });
    this.stream = socket;
    return socket;
  }
}

/** Hands everything that arrives to `read` instead of to ioredis, until {@link stopReading}. */
export function startReading(socket: Socket, read: Read): void {
  socket.removeAllListeners('data');
  if (readers.has(socket)) readers.set(socket, read);
  // Connected through a Sentinel: ioredis has made the socket.
  else socket.on('data', (bytes: Buffer) => read(bytes, bytes.length));
}

export function stopReading(socket: Socket): void {
  // A stream without a listener would stop, and not notice its end.
  startReading(socket, () => undefined);
}
