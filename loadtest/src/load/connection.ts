/**
 * A cheap client connection: thousands fit in a process. Connections share one read buffer, read frames in place, and
 * build frequent messages once.
 */
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Target } from '@fanfare/kit/broker-url';
import { buildFrame, FrameWalker, handshakeLines, opcodes } from '@fanfare/kit/frames';
import { within } from '@fanfare/kit/within';
import type { Events, OnPublication, Protocol, Reader } from '../protocols/protocol.js';
import type { Member } from './member.js';

/** The data of one read is handled before the next read, so one buffer serves all sockets. */
const readBuffer = new Uint8Array(65_536);

const headEnd = Buffer.from('\r\n\r\n');

/** Subscriptions in one write; more wait for the replies. */
const maxSubscribing = 256;

interface ConnectionOptions {
  readonly protocol: Protocol;
  readonly target: Target;
  /** The address that it comes from; null: the system's choice. */
  readonly localAddress: string | null;
  /** The topics to subscribe to; none: it publishes. */
  readonly topics: readonly string[];
  readonly onPublication: OnPublication;
  /** Publications were acknowledged. */
  readonly onAcknowledged?: (publications: number) => void;
  /**
   * The connection is lost, or the server has refused a request; called once, and not after {@link Connection.close}.
   */
  readonly onFailure: (error: Error) => void;
  /** How long it may take to connect and subscribe. */
  readonly timeoutMs: number;
}

export class Connection implements Events, Member {
  readonly recovers = false;
  readonly #socket: Socket;
  readonly #walker: FrameWalker | null;
  readonly #read: Reader;
  #head: Buffer | null = null;
  #hasEnded = false;
  #confirmed = 0;
  /** What the connection waits for: the transport, a greeting, confirmations. */
  #waiting: {
    readonly isMet: () => boolean;
    readonly resolve: () => void;
    readonly reject: (error: Error) => void;
  } | null = null;
  #isUp = false;
  #isEstablished = false;
  #error: Error | null = null;
  #isGreeted = false;

  /** Resolves once it is connected, and subscribed if it is a subscriber. */
  static async open(options: ConnectionOptions): Promise<Connection> {
    const connection = new Connection(options);
    try {
      await within(options.timeoutMs, connection.#establish(), 'The server did not answer');
      connection.#isEstablished = true;
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  get isConnected(): boolean {
    return this.#isEstablished && !this.#hasEnded;
  }

  private constructor(private readonly options: ConnectionOptions) {
    const { protocol, target, localAddress } = options;
    const { port } = target;
    // Only in URLs is an IPv6 address in brackets.
    const host = target.host.replace(/^\[(.*)\]$/, '$1');
    this.#read = protocol.reader(options.onPublication, this, options);
    this.#walker = protocol.transport === 'websocket' ? new FrameWalker() : null;
    const common = {
      host,
      port,
      noDelay: true,
      ...(localAddress === null ? {} : { localAddress }),
      onread: {
        buffer: readBuffer,
        callback: (length: number) => {
          this.#take(readBuffer.subarray(0, length));
          return true;
        },
      },
    };
    this.#socket = target.isTls
      ? connectTls({ ...common, servername: isIP(host) === 0 ? host : '' })
      : connectTcp(common);
    this.#socket.on(target.isTls ? 'secureConnect' : 'connect', () => this.#onTransport());
    // TLS sockets do not know `onread`.
    if (target.isTls) this.#socket.on('data', (chunk: Uint8Array) => this.#take(chunk));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('The server closed the connection.')));
  }

  /** The bytes of a message: in a WebSocket frame, or as the protocol wraps it. */
  frame(message: Uint8Array): Uint8Array {
    const { protocol, target } = this.options;
    if (this.#walker === null) return protocol.wrap?.(message, target) ?? message;
    return buildFrame(message, { opcode: protocol.isBinary ? opcodes.binary : opcodes.text });
  }

  async subscribe(topics: readonly string[]): Promise<void> {
    await this.#ask(topics, (some) => this.options.protocol.subscribe(some));
  }

  async unsubscribe(topics: readonly string[]): Promise<void> {
    await this.#ask(topics, (some) => this.options.protocol.unsubscribe(some));
  }

  /** Writes whole frames, which must not be changed later. */
  write(frames: Uint8Array): void {
    if (!this.#hasEnded) this.#socket.write(frames);
  }

  /** Stops reading. */
  pause(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#end(new Error('The connection was closed.'));
  }

  /** Resets the connection, so that no port stays in use. */
  leave(): void {
    this.#hasEnded = true;
    this.#socket.resetAndDestroy();
    this.#end(new Error('The connection was closed.'));
  }

  comeBack(): Promise<never> {
    return Promise.reject(new Error('A bare connection cannot reconnect: open a new one.'));
  }

  greeted(): void {
    this.#isGreeted = true;
    this.#look();
  }

  confirmed(subscriptions: number): void {
    this.#confirmed += subscriptions;
    this.#look();
  }

  acknowledged(publications: number): void {
    this.options.onAcknowledged?.(publications);
  }

  reply(message: Uint8Array): void {
    this.#send(message);
  }

  refused(reason: string): void {
    this.#fail(new Error(`The server refused: ${reason}`));
  }

  async #establish(): Promise<void> {
    const { protocol, topics } = this.options;
    await this.#until(() => this.#isUp);
    const hello = protocol.hello(this.options);
    if (hello !== null) {
      this.#send(hello);
      if (!protocol.isUnanswered) await this.#until(() => this.#isGreeted);
    }
    await this.subscribe(topics);
  }

  async #ask(
    topics: readonly string[],
    messagesFor: (topics: readonly string[]) => readonly Uint8Array[] | null,
  ): Promise<void> {
    for (let at = 0; at < topics.length; at += maxSubscribing) {
      const some = topics.slice(at, at + maxSubscribing);
      const messages = messagesFor(some);
      if (messages === null) return;
      const wanted = this.#confirmed + some.length;
      for (const message of messages) this.#send(message);
      const confirmed = this.#until(() => this.#confirmed >= wanted);
      try {
        await within(this.options.timeoutMs, confirmed, 'The server did not confirm subscriptions');
      } catch (error) {
        this.#end(error as Error);
        throw error;
      }
    }
  }

  #until(isMet: () => boolean): Promise<void> {
    if (this.#error !== null) return Promise.reject(this.#error);
    if (isMet()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting = { isMet, resolve, reject };
    });
  }

  #look(): void {
    const waiting = this.#waiting;
    if (waiting === null || !waiting.isMet()) return;
    this.#waiting = null;
    waiting.resolve();
  }

  #send(message: Uint8Array): void {
    this.write(this.frame(message));
  }

  #onTransport(): void {
    if (this.#walker === null) {
      this.#isUp = true;
      this.#look();
      return;
    }
    const { protocol, target, topics } = this.options;
    const lines = [
      ...handshakeLines(target.path ?? protocol.path(topics), `${target.host}:${target.port}`),
      ...(protocol.subprotocol === null ? [] : [`Sec-WebSocket-Protocol: ${protocol.subprotocol}`]),
      ...(target.token === null ? [] : [`Authorization: Bearer ${target.token}`]),
    ];
    this.#head = Buffer.alloc(0);
    this.#socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  }

  #take(chunk: Uint8Array): void {
    if (this.#hasEnded) return;
    try {
      if (this.#head !== null) this.#takeHead(this.#head, chunk);
      else if (this.#walker === null) this.#read(chunk, 0, chunk.length);
      else this.#walker.walk(chunk, this.#onFrame);
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #takeHead(before: Buffer, chunk: Uint8Array): void {
    const head = Buffer.concat([before, chunk]);
    const end = head.indexOf(headEnd);
    this.#head = end < 0 ? head : null;
    if (end < 0) return;
    const rest = head.subarray(end + headEnd.length);
    const text = head.toString('latin1', 0, end);
    if (!text.startsWith('HTTP/1.1 101 ')) {
      throw new Error(`The server refused the handshake: ${text.split('\r\n')[0]}. ${rest.toString()}`.trim());
    }
    this.#isUp = true;
    this.#look();
    // A copy that is no Buffer: `slice` of a Buffer is a view into a pool.
    if (rest.length > 0) this.#walker?.walk(new Uint8Array(rest), this.#onFrame);
  }

  readonly #onFrame = (opcode: number, bytes: Uint8Array, start: number, end: number): void => {
    if (opcode <= opcodes.binary) this.#read(bytes, start, end);
    else if (opcode === opcodes.ping) this.write(buildFrame(bytes.subarray(start, end), { opcode: opcodes.pong }));
    else if (opcode === opcodes.close) throw new Error(explainClose(bytes.subarray(start, end)));
  };

  /** Rejects what waits now, or will wait later, with the cause. */
  #end(error: Error): void {
    this.#hasEnded = true;
    this.#error ??= error;
    this.#socket.destroy();
    this.#waiting?.reject(error);
    this.#waiting = null;
  }

  #fail(error: Error): void {
    if (this.#hasEnded) return;
    const hasWaiter = this.#waiting !== null;
    this.#end(error);
    // Until it is established, `open` reports the error.
    if (!hasWaiter && this.#isEstablished) this.options.onFailure(error);
  }
}

function explainClose(payload: Uint8Array): string {
  if (payload.length < 2) return 'The server closed the connection without a code.';
  const code = ((payload[0] as number) << 8) | (payload[1] as number);
  return `The server closed the connection: ${code} ${new TextDecoder().decode(payload.subarray(2))}`.trim();
}
