/**
 * One address in front of all nodes, like a Kubernetes Service: each new connection goes to the next node that accepts
 * it.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

const host = '127.0.0.1';

/** Which node gets a new connection first: the next one in turn, or always the first of the list. */
export type Choice = 'inTurn' | 'first';

export interface BalancerOptions {
  /** Ports of the nodes. */
  readonly ports: readonly number[];
  /** Default: `inTurn`. */
  readonly choice?: Choice;
  /** Called for each new connection. */
  readonly onConnection?: () => void;
}

interface Target {
  readonly port: number;
  isUp: boolean;
}

export class Balancer implements AsyncDisposable {
  readonly #targets: Target[];
  readonly #choice: Choice;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Those from the nodes. */
  readonly #upstreams = new Set<Socket>();
  #turn = 0;
  #isStalled = false;

  static async start(options: BalancerOptions): Promise<Balancer> {
    const balancer = new Balancer(options);
    balancer.#server.listen({ port: 0, host, backlog: 4_096 });
    await once(balancer.#server, 'listening');
    return balancer;
  }

  private constructor({ ports, choice = 'inTurn', onConnection = () => {} }: BalancerOptions) {
    this.#targets = ports.map((port) => ({ port, isUp: true }));
    this.#choice = choice;
    this.#server = createServer({ pauseOnConnect: true, noDelay: true }, (client) => {
      onConnection();
      this.#keep(client);
      this.#connect(client, this.#candidates());
    });
  }

  /** Where clients connect. */
  get url(): string {
    return `ws://${host}:${(this.#server.address() as AddressInfo).port}/ws`;
  }

  /** Also sends new connections to this node. */
  add(port: number): void {
    this.remove(port);
    this.#targets.push({ port, isUp: true });
  }

  /** Sends no more new connections to this node; its existing connections stay open. */
  remove(port: number): void {
    const index = this.#targets.findIndex((target) => target.port === port);
    if (index !== -1) this.#targets.splice(index, 1);
  }

  /** This node gets no new connections. Its existing connections stay. */
  markDown(index: number): void {
    this.#mark(index, false);
  }

  markUp(index: number): void {
    this.#mark(index, true);
  }

  /** Stops reading from the nodes, as if the clients did not read. */
  stall(): void {
    this.#isStalled = true;
    for (const upstream of this.#upstreams) upstream.pause();
  }

  /** Reads from the nodes again. */
  resume(): void {
    this.#isStalled = false;
    for (const upstream of this.#upstreams) upstream.resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #mark(index: number, isUp: boolean): void {
    const target = this.#targets[index];
    if (target !== undefined) target.isUp = isUp;
  }

  /** The nodes in the order in which they are tried. */
  #candidates(): Target[] {
    const [first, others] =
      this.#choice === 'first' ? [this.#targets.slice(0, 1), this.#targets.slice(1)] : [[], this.#targets];
    const from = this.#turn++ % Math.max(1, others.length);
    return [...first, ...others.slice(from), ...others.slice(0, from)].filter(({ isUp }) => isUp);
  }

  #connect(client: Socket, candidates: readonly Target[]): void {
    const [target, ...rest] = candidates;
    if (target === undefined) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ host, port: target.port, noDelay: true });
    this.#keep(upstream);
    const onRefused = (): void => {
      if (!client.destroyed) this.#connect(client, rest);
    };
    upstream.once('error', onRefused);
    upstream.once('connect', () => {
      upstream.off('error', onRefused);
      this.#join(client, upstream);
    });
  }

  #join(client: Socket, upstream: Socket): void {
    if (client.destroyed) {
      upstream.destroy();
      return;
    }
    this.#upstreams.add(upstream);
    upstream.once('close', () => this.#upstreams.delete(upstream));
    // No `pipe` here: it would resume a stalled socket.
    upstream.on('data', (bytes: Buffer) => {
      if (!client.write(bytes)) upstream.pause();
    });
    upstream.on('end', () => client.end());
    client.on('drain', () => {
      if (!this.#isStalled) upstream.resume();
    });
    client.pipe(upstream);
    // If one socket ends, the other ends too.
    client.once('close', () => upstream.destroy());
    upstream.once('close', () => {
      if (!upstream.readableEnded) client.resetAndDestroy();
    });
    if (this.#isStalled) upstream.pause();
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
