/** The entry of a network: forwards TCP connections to a node, which can change. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export class Entry implements AsyncDisposable {
  /** The port of the node that gets new connections; null if they are cut. */
  #port: number | null = null;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => this.#forward(socket));

  static async start(url: string): Promise<Entry> {
    const entry = new Entry();
    entry.open(url);
    entry.#server.listen(0, '127.0.0.1');
    await once(entry.#server, 'listening');
    return entry;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/ws`;
  }

  /** From now on, connections go to this node. Open ones stay where they are. */
  open(url: string): void {
    this.#port = Number(new URL(url).port);
  }

  /** Cuts all connections, and new ones. */
  close(): void {
    this.#port = null;
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #forward(socket: Socket): void {
    if (this.#port === null) return void socket.destroy();
    const upstream = connect(this.#port, '127.0.0.1');
    for (const [from, to] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  }
}
