/** The network between two peers, failing when told to: it stands before Redis or before a node and passes TCP on. */
import { once, setMaxListeners } from 'node:events';
import { createServer, type Server, Socket } from 'node:net';
import { findFreePort } from './free-port.js';

const host = '127.0.0.1';

/** What one direction of a connection holds of what cannot be sent yet; at this much, the sender has to wait. */
const maxHeldBytes = 1_048_576;

export interface FaultProxyOptions {
  /** Where connections are passed on to. */
  readonly targetPort: number;
  /** Default: 127.0.0.1. */
  readonly targetHost?: string | undefined;
  /** Default: a free one. */
  readonly port?: number | undefined;
}

/** What passes from the peer who connected to the target, or from the target to that peer. */
export type FaultDirection = 'toTarget' | 'toClient';

/**
 * Faults last until `heal` (a delay until `delay(0)`) and hold for present and new connections. The kernel of this machine
 * still acknowledges what the peers send and their keepalive probes: a peer notices a blocked network by silence alone.
 */
export class FaultProxy implements AsyncDisposable {
  readonly port: number;
  /** `host:port`, as it stands in a URL. */
  readonly address: string;
  #target: Address;
  readonly #faults = { blocked: new Set<FaultDirection>(), delayMs: 0 };
  readonly #connections = new Set<Connection>();
  readonly #disposal = new AbortController();
  /** Null while connections are refused. `heal` and `refuse` each wait here for the one before. */
  #server: Promise<Server | null> = Promise.resolve(null);

  /** Listens on 127.0.0.1; rejects where the port is taken. Nothing needs to listen on the target yet. */
  static async start(options: FaultProxyOptions): Promise<FaultProxy> {
    const attempts = options.port === undefined ? 3 : 1;
    for (let attempt = 1; ; attempt++) {
      // Not a port of the system's choice: while connections are refused, one of those might be given to somebody else.
      const proxy = new FaultProxy(options.port ?? (await findFreePort()), options);
      try {
        await proxy.heal();
        return proxy;
      } catch (error) {
        // Another process may have taken the port since we found it free.
        if (attempt === attempts) throw error;
      }
    }
  }

  private constructor(port: number, { targetHost = host, targetPort }: FaultProxyOptions) {
    this.port = port;
    this.address = `${host}:${port}`;
    this.#target = { host: targetHost, port: targetPort };
    // One listener for each connection is no leak: it goes when the connection does.
    setMaxListeners(0, this.#disposal.signal);
  }

  /** How many connections are open: a connection is until both of its sides have closed. */
  get connections(): number {
    return this.#connections.size;
  }

  /**
   * Blocks both directions: the peers see open connections and silence, not even that the other one closes. Who connects
   * gets a connection with silence on it, of which the target sees nothing.
   */
  blackhole(): void {
    this.#faults.blocked.add('toTarget').add('toClient');
    this.#pass();
  }

  /**
   * Nothing arrives in this direction any more, neither bytes nor a close; what is held is not read, so a sender that goes on
   * has to wait at last. The other direction passes, unless it is blocked as well.
   */
  block(direction: FaultDirection): void {
    this.#faults.blocked.add(direction);
    this.#pass();
  }

  /**
   * Everything passes again, at once and beginning with what was held: bytes, closes, new connections. A delay stays. Resolves
   * once connections are accepted, which only takes a moment after `refuse`; rejects where another process took the port.
   */
  async heal(): Promise<void> {
    this.#faults.blocked.clear();
    this.#pass();
    const listening = this.#server.then((server) => server ?? (this.#disposal.signal.aborted ? null : this.#listen()));
    this.#server = listening.catch(() => null);
    await listening;
  }

  /**
   * Both peers of each connection see it reset (RST), blocked or not; what was held is lost. Who connects anew gets through.
   * A connection that has only just been made may not be among `connections` yet.
   */
  reset(): void {
    for (const connection of this.#connections) connection.reset();
    this.#connections.clear();
  }

  /**
   * Who connects anew is led to another port of the same host, as when a name gets another address; both peers of each present
   * connection see it reset.
   */
  retarget(port: number): void {
    this.#target = { ...this.#target, port };
    this.reset();
  }

  /** Who connects is refused (ECONNREFUSED), and both peers of each connection see it reset. Resolves once this is so. */
  async refuse(): Promise<void> {
    this.#server = this.#server.then(async (server) => {
      const closed = server && once(server, 'close');
      server?.close();
      this.reset();
      await closed;
      return null;
    });
    await this.#server;
  }

  /**
   * Bytes and closes arrive this much later than they were sent, in order, in both directions. It holds for those on their
   * way as well; 0, the default, turns it off. A sender waits while 1 MiB of its bytes is on its way.
   */
  delay(ms: number): void {
    this.#faults.delayMs = ms;
    this.#pass();
  }

  /** Both peers of each connection see it reset; the port is free again. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.reset();
    // Ends even those sockets that wait for a target which answers neither yes nor no.
    this.#disposal.abort();
    await this.refuse();
  }

  #pass(): void {
    for (const connection of this.#connections) connection.pass();
  }

  async #listen(): Promise<Server> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) => {
      const target = new Socket({ allowHalfOpen: true, signal: this.#disposal.signal }).setNoDelay();
      const connection = new Connection(client, target, this.#target, this.#faults);
      this.#connections.add(connection);
      void connection.closed.then(() => this.#connections.delete(connection));
      connection.pass();
    });
    server.listen(this.port, host);
    await once(server, 'listening');
    return server;
  }
}

interface Address {
  readonly host: string;
  readonly port: number;
}

interface Faults {
  readonly blocked: ReadonlySet<FaultDirection>;
  readonly delayMs: number;
}

class Connection {
  /** Resolves when both of its sides have closed. */
  readonly closed: Promise<unknown>;
  readonly #client: Socket;
  readonly #target: Socket;
  readonly #address: Address;
  readonly #faults: Faults;
  readonly #lanes: readonly Lane[];
  #isAsked = false;

  constructor(client: Socket, target: Socket, address: Address, faults: Faults) {
    this.closed = Promise.all(
      [client, target].map((socket) => new Promise((resolve) => socket.once('close', resolve))),
    );
    this.#client = client;
    this.#target = target;
    this.#address = address;
    this.#faults = faults;
    this.#lanes = [new Lane('toTarget', client, target, faults), new Lane('toClient', target, client, faults)];
  }

  pass(): void {
    // To ask for a connection is the first thing that passes to the target.
    if (!this.#isAsked && !this.#client.destroyed && !this.#faults.blocked.has('toTarget')) {
      this.#isAsked = true;
      this.#target.connect(this.#address);
    }
    for (const lane of this.#lanes) lane.pass();
  }

  reset(): void {
    reset(this.#client);
    reset(this.#target);
  }
}

type Passing =
  | { readonly name: 'data'; readonly bytes: Buffer }
  | { readonly name: 'end' }
  | { readonly name: 'reset' };

/** One direction of a connection. */
class Lane {
  readonly #direction: FaultDirection;
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #faults: Faults;
  #held: { readonly passing: Passing; readonly sinceMs: number }[] = [];
  #heldBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(direction: FaultDirection, from: Socket, to: Socket, faults: Faults) {
    this.#direction = direction;
    this.#from = from;
    this.#to = to;
    this.#faults = faults;
    from.on('data', (bytes: Buffer) => this.#take({ name: 'data', bytes }));
    from.on('end', () => this.#take({ name: 'end' }));
    // Whatever broke it, also a target where nothing listens: TCP has one word for it.
    from.on('error', () => this.#take({ name: 'reset' }));
    to.on('drain', () => this.pass());
    to.on('close', () => this.pass());
  }

  /** Sends what may be sent now, and reads on unless too much is left. */
  pass(): void {
    clearTimeout(this.#timer);
    if (this.#to.destroyed) {
      this.#held = [];
      this.#from.pause();
      return;
    }
    const isBlocked = this.#faults.blocked.has(this.#direction);
    if (!isBlocked) this.#send();
    if (isBlocked || this.#heldBytes >= maxHeldBytes) this.#from.pause();
    else this.#from.resume();
  }

  #take(passing: Passing): void {
    this.#held.push({ passing, sinceMs: performance.now() });
    if (passing.name === 'data') this.#heldBytes += passing.bytes.length;
    this.pass();
  }

  #send(): void {
    for (let next = this.#held[0]; next !== undefined && !this.#to.writableNeedDrain; next = this.#held[0]) {
      const waitMs = next.sinceMs + this.#faults.delayMs - performance.now();
      if (this.#faults.delayMs > 0 && waitMs > 0) {
        this.#timer = setTimeout(() => this.pass(), waitMs);
        return;
      }
      this.#held.shift();
      switch (next.passing.name) {
        case 'data':
          this.#heldBytes -= next.passing.bytes.length;
          this.#to.write(next.passing.bytes);
          break;
        case 'end':
          this.#to.end();
          break;
        case 'reset':
          reset(this.#to);
          break;
      }
    }
  }
}

/** RST where there is a connection, or as soon as there is one; the end of the socket in any case. */
function reset(socket: Socket): void {
  const isShuttingDown = socket.writableEnded && socket.writableLength === 0 && !socket.writableFinished;
  if (socket.pending && !socket.connecting) socket.destroy();
  // In the moment in which its FIN is sent, libuv answers EINVAL to a reset, and the socket would stay open for ever.
  else if (isShuttingDown) socket.once('finish', () => socket.resetAndDestroy());
  else socket.resetAndDestroy();
}
