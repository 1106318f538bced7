/** A TCP proxy in front of Redis or a node that makes the network fail on request. */
import { once, setMaxListeners } from 'node:events';
import { createServer, type Server, Socket } from 'node:net';
import { findFreePort } from './free-port.js';

const host = '127.0.0.1';

/** Bytes that one direction of a connection buffers. At this limit, the sender has to wait. */
const maxHeldBytes = 1_048_576;

export interface FaultProxyOptions {
  /** Where the proxy forwards connections. */
  readonly targetPort: number;
  /** Default: 127.0.0.1. */
  readonly targetHost?: string | undefined;
  /** Default: a free one. */
  readonly port?: number | undefined;
}

/** `toTarget`: from the peer that connected to the target. `toClient`: back to that peer. */
export type FaultDirection = 'toTarget' | 'toClient';

/**
 * Faults last until `heal` (a delay until `delay(0)`) and apply to existing and new connections. The kernel of this
 * machine still acknowledges data and keepalive probes from the peers, so a peer notices a blocked network only by
 * silence.
 */
export class FaultProxy implements AsyncDisposable {
  /** `host:port`, as in a URL. */
  readonly address: string;
  #target: Address;
  readonly #faults = { blocked: new Set<FaultDirection>(), delayMs: 0 };
  readonly #connections = new Set<Connection>();
  readonly #disposal = new AbortController();
  /** Null while connections are refused. Each `heal` and `refuse` waits here for the previous one. */
  #server: Promise<Server | null> = Promise.resolve(null);

  /** Listens on 127.0.0.1; rejects if the port is taken. Nothing needs to listen on the target yet. */
  static async start(options: FaultProxyOptions): Promise<FaultProxy> {
    const attempts = options.port === undefined ? 3 : 1;
    for (let attempt = 1; ; attempt++) {
      // Do not let the system choose: while connections are refused, it might give such a port to another process.
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

  private constructor(
    readonly port: number,
    { targetHost = host, targetPort }: FaultProxyOptions,
  ) {
    this.address = `${host}:${port}`;
    this.#target = { host: targetHost, port: targetPort };
    // One listener for each connection is not a leak: it is removed with the connection.
    setMaxListeners(0, this.#disposal.signal);
  }

  /** How many connections are open. A connection is open until both sides have closed. */
  get connections(): number {
    return this.#connections.size;
  }

  /**
   * Blocks both directions. The peers see open connections and silence, and do not notice if the other one closes. A
   * new peer gets a silent connection, and the target does not notice it.
   */
  blackhole(): void {
    this.#faults.blocked.add('toTarget').add('toClient');
    this.#pass();
  }

  /**
   * Nothing arrives in this direction any more, neither bytes nor a close. A sender that continues has to wait once the
   * buffers are full. The other direction still passes, unless it is blocked too.
   */
  block(direction: FaultDirection): void {
    this.#faults.blocked.add(direction);
    this.#pass();
  }

  /**
   * Everything passes again at once: first the buffered bytes and closes, then new connections. A delay stays. Resolves
   * once connections are accepted, which takes time only after `refuse`. Rejects if another process took the port.
   */
  async heal(): Promise<void> {
    this.#faults.blocked.clear();
    this.#pass();
    const listening = this.#server.then((server) => server ?? (this.#disposal.signal.aborted ? null : this.#listen()));
    this.#server = listening.catch(() => null);
    await listening;
  }

  /**
   * Resets each connection for both peers (RST), blocked or not; buffered data is lost. New connections get through.
   * `connections` may not count a very new connection yet.
   */
  reset(): void {
    for (const connection of this.#connections) connection.reset();
    this.#connections.clear();
  }

  /**
   * Forwards new connections to another port of the same host, as if a name got another address. Resets existing
   * connections for both peers.
   */
  retarget(port: number): void {
    this.#target = { ...this.#target, port };
    this.reset();
  }

  /** Refuses new connections (ECONNREFUSED), and resets existing ones for both peers. Resolves once both are done. */
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
   * Delays bytes and closes in both directions, and keeps their order. It also applies to bytes already in transit; 0,
   * the default, turns it off. A sender has to wait while 1 MiB of its bytes is in transit.
   */
  delay(ms: number): void {
    this.#faults.delayMs = ms;
    this.#pass();
  }

  /** Resets each connection for both peers, and frees the port. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.reset();
    // Also ends sockets that wait for a target that does not respond.
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
  readonly #lanes: readonly Lane[];
  #isAsked = false;

  constructor(
    private readonly client: Socket,
    private readonly target: Socket,
    private readonly address: Address,
    private readonly faults: Faults,
  ) {
    this.closed = Promise.all(
      [client, target].map((socket) => new Promise((resolve) => socket.once('close', resolve))),
    );
    this.#lanes = [new Lane('toTarget', client, target, faults), new Lane('toClient', target, client, faults)];
  }

  pass(): void {
    // The request for a connection is the first thing that passes to the target.
    if (!this.#isAsked && !this.client.destroyed && !this.faults.blocked.has('toTarget')) {
      this.#isAsked = true;
      this.target.connect(this.address);
    }
    for (const lane of this.#lanes) lane.pass();
  }

  reset(): void {
    reset(this.client);
    reset(this.target);
  }
}

type Passing =
  | { readonly name: 'data'; readonly bytes: Buffer }
  | { readonly name: 'end' }
  | { readonly name: 'reset' };

/** One direction of a connection. */
class Lane {
  #held: { readonly passing: Passing; readonly sinceMs: number }[] = [];
  #heldBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly direction: FaultDirection,
    private readonly from: Socket,
    private readonly to: Socket,
    private readonly faults: Faults,
  ) {
    from.on('data', (bytes: Buffer) => this.#take({ name: 'data', bytes }));
    from.on('end', () => this.#take({ name: 'end' }));
    // Whatever the cause, even if nothing listens on the target: TCP reports all failures as a reset.
    from.on('error', () => this.#take({ name: 'reset' }));
    to.on('drain', () => this.pass());
    to.on('close', () => this.pass());
  }

  /** Sends everything that may be sent now, and reads on unless too much is buffered. */
  pass(): void {
    clearTimeout(this.#timer);
    if (this.to.destroyed) {
      this.#held = [];
      this.from.pause();
      return;
    }
    const isBlocked = this.faults.blocked.has(this.direction);
    if (!isBlocked) this.#send();
    if (isBlocked || this.#heldBytes >= maxHeldBytes) this.from.pause();
    else this.from.resume();
  }

  #take(passing: Passing): void {
    this.#held.push({ passing, sinceMs: performance.now() });
    if (passing.name === 'data') this.#heldBytes += passing.bytes.length;
    this.pass();
  }

  #send(): void {
    for (let next = this.#held[0]; next !== undefined && !this.to.writableNeedDrain; next = this.#held[0]) {
      const waitMs = next.sinceMs + this.faults.delayMs - performance.now();
      if (this.faults.delayMs > 0 && waitMs > 0) {
        this.#timer = setTimeout(() => this.pass(), waitMs);
        return;
      }
      this.#held.shift();
      switch (next.passing.name) {
        case 'data':
          this.#heldBytes -= next.passing.bytes.length;
          this.to.write(next.passing.bytes);
          break;
        case 'end':
          this.to.end();
          break;
        case 'reset':
          reset(this.to);
          break;
      }
    }
  }
}

/** Sends RST once there is a connection, and destroys the socket in any case. */
function reset(socket: Socket): void {
  const isShuttingDown = socket.writableEnded && socket.writableLength === 0 && !socket.writableFinished;
  if (socket.pending && !socket.connecting) socket.destroy();
  // While libuv sends the FIN, it answers a reset with EINVAL, and the socket would stay open forever.
  else if (isShuttingDown) socket.once('finish', () => socket.resetAndDestroy());
  else socket.resetAndDestroy();
}
