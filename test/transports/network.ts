/** A bad network between a client and a node: a proxy that breaks some of the transports. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request as requestHttp, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * `refused`: the proxy answers 403. `mute`: it accepts the WebSocket and forwards what the client sends, but nothing
 * back. `silent`: it never answers the handshake.
 */
type WebSockets = 'work' | 'refused' | 'mute' | 'silent';

/**
 * `buffered`: the proxy forwards a response when it is complete. `divided`: it forwards each byte on its own.
 * `swallowed`: it forwards the request, but not the response. `silent`: it does nothing. `refused`: it answers with a
 * page of its own.
 */
type Requests = 'work' | 'buffered' | 'divided' | 'swallowed' | 'silent' | 'refused';

export class Network implements AsyncDisposable {
  webSockets: WebSockets = 'work';
  requests: Requests = 'work';
  /** The requests so far: method and path, or `WebSocket`. */
  readonly log: string[] = [];
  /** The requests that have ended. */
  readonly ended: string[] = [];
  #target: URL;
  readonly #server = createServer((request, response) => this.#forward(request, response));
  readonly #sockets = new Set<Duplex>();
  readonly #answers = new Set<IncomingMessage>();

  private constructor(target: string) {
    this.#target = new URL(target.replace(/^ws/, 'http'));
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => {});
    });
  }

  static async start(target: string): Promise<Network> {
    const network = new Network(target);
    network.#server.listen(0, '127.0.0.1');
    await once(network.#server, 'listening');
    return network;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/ws`;
  }

  /** How many requests are open. */
  get open(): number {
    return this.log.length - this.count('WebSocket') - this.ended.length;
  }

  /** How many requests with this beginning there were. */
  count(beginning: string): number {
    return this.log.filter((line) => line.startsWith(beginning)).length;
  }

  /** From now on, nothing arrives on the open responses, and they do not end. */
  freeze(): void {
    for (const answer of this.#answers) answer.unpipe();
  }

  /** Cuts all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url: path = '', headers } = request;
    this.log.push(`${method} ${path}`);
    const { requests } = this;
    response.on('close', () => this.ended.push(`${method} ${path}`));
    if (requests === 'silent') return;
    if (requests === 'refused') return void response.writeHead(404, { 'Content-Type': 'text/html' }).end('<h1>No</h1>');
    const { hostname, port } = this.#target;
    const upstream = requestHttp({ hostname, port, method, path, headers, agent: false }, (answer) => {
      if (requests === 'swallowed') return void answer.resume();
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      if (requests === 'work') {
        response.flushHeaders();
        this.#answers.add(answer);
        answer.on('close', () => this.#answers.delete(answer));
        return void answer.pipe(response);
      }
      if (requests === 'divided') {
        response.socket?.setNoDelay();
        answer.on('data', (chunk: Buffer) => {
          for (const byte of chunk) response.write(Uint8Array.of(byte));
        });
        return void answer.on('end', () => response.end());
      }
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => response.end(Buffer.concat(chunks)));
    });
    upstream.on('error', () => response.destroy());
    response.on('close', () => upstream.destroy());
    request.pipe(upstream);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.log.push('WebSocket');
    const { webSockets } = this;
    if (webSockets === 'silent') return;
    if (webSockets === 'refused') return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
    const { hostname, port } = this.#target;
    const upstream = requestHttp({ hostname, port, path: request.url, headers: request.headers, agent: false });
    upstream.on('upgrade', (answer, far, rest) => {
      this.#sockets.add(far);
      far.on('close', () => {
        this.#sockets.delete(far);
        socket.destroy();
      });
      far.on('error', () => socket.destroy());
      socket.on('close', () => far.destroy());
      const lines = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`);
      if (webSockets === 'mute') far.resume();
      else {
        socket.write(rest);
        far.pipe(socket);
      }
      far.write(head);
      socket.pipe(far);
    });
    upstream.on('error', () => socket.destroy());
    upstream.end();
  }
}
