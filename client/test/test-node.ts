/**
 * A node that tests can tell to misbehave: a real WebSocket server with the protocol's own codecs. Left alone, it answers
 * every command and delivers publications to its own subscribers; `on` replaces what it does for a type of command.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  type Command,
  closeReasons,
  type Encoding,
  emptyRun,
  endpointPath,
  JsonNodeCodec,
  MsgpackNodeCodec,
  type NodeCodec,
  type OutgoingReply,
  type Payload,
  type Position,
  parseTopic,
  type ReplyErrorCode,
  type Run,
  replyErrors,
  subprotocols,
  type Topic,
  Writer,
  writeItem,
} from '@fanfare/protocol';
import { vi } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { createMsgpackData } from '../src/msgpack-data.js';

type CommandOf<Type extends Command['type']> = Extract<Command, { readonly type: Type }>;
/** Carries a command out; `proceed` does what the node would do by itself. */
type Handler<Type extends Command['type']> = (
  command: CommandOf<Type>,
  connection: TestConnection,
  proceed: () => void,
) => void;

export interface TestNodeOptions {
  readonly pingIntervalMs?: number;
  readonly maxFrameBytes?: number;
}

export class TestNode {
  readonly connections: TestConnection[] = [];
  readonly options: Required<TestNodeOptions>;
  /** HTTP status for new connections instead of an upgrade, while set. */
  refuseWith: number | null = null;
  /** Leaves opening handshakes unanswered, while set. */
  ignoreUpgrades = false;
  upgrades = 0;
  readonly #handlers = new Map<Command['type'], Handler<Command['type']>>();
  readonly #http = createServer();
  readonly #sockets = new Set<Duplex>();
  readonly #webSockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => [...offered].find((name) => encodingOf(name) !== null) ?? false,
  });

  constructor(options: TestNodeOptions) {
    this.options = { pingIntervalMs: 25_000, maxFrameBytes: 65_536, ...options };
    this.#http.on('upgrade', (request: IncomingMessage, socket, head) => {
      this.upgrades++;
      this.#sockets.add(socket);
      socket.on('error', () => {});
      if (this.ignoreUpgrades) return;
      if (this.refuseWith !== null) {
        socket.end(`HTTP/1.1 ${this.refuseWith} No\r\nContent-Length: 0\r\n\r\n`);
        return;
      }
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        this.connections.push(new TestConnection(this, webSocket));
      });
    });
  }

  async listen(port = 0): Promise<void> {
    this.#http.listen(port, '127.0.0.1');
    await once(this.#http, 'listening');
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#http.address() as AddressInfo).port}${endpointPath}`;
  }

  on<Type extends Command['type']>(type: Type, handler: Handler<Type>): void {
    this.#handlers.set(type, handler as unknown as Handler<Command['type']>);
  }

  /** What it does by itself, again. */
  reset(type: Command['type']): void {
    this.#handlers.delete(type);
  }

  /** The n-th connection, once it is there and has sent something. */
  async connection(index = 0): Promise<TestConnection> {
    return vi.waitFor(() => {
      const connection = this.connections[index];
      if (connection === undefined || connection.frames.length === 0) throw new Error(`No connection ${index}.`);
      return connection;
    }, waiting);
  }

  carryOut(command: Command, connection: TestConnection): void {
    const handler = this.#handlers.get(command.type);
    const proceed = (): void => this.#proceed(command, connection);
    if (handler === undefined) proceed();
    else handler(command, connection, proceed);
  }

  #proceed(command: Command, connection: TestConnection): void {
    const { id } = command;
    switch (command.type) {
      case 'connect':
        return connection.reply({ type: 'connected', id, node: 'test', ...this.options });
      case 'subscribe':
        connection.topics.add(command.topic);
        return connection.subscribed(id, command.topic);
      case 'unsubscribe':
        connection.topics.delete(command.topic);
        return connection.reply({ type: 'unsubscribed', id, topic: command.topic });
      case 'publish':
        for (const peer of this.connections)
          if (peer.topics.has(command.topic)) peer.pushPayloads(command.topic, [command]);
        if (id !== null) connection.reply({ type: 'published', id, position: null });
        return;
      case 'ping':
        return connection.reply({ type: 'pong', id });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { webSocket } of this.connections) webSocket.terminate();
    for (const socket of this.#sockets) socket.destroy();
    this.#http.closeAllConnections();
    this.#http.close();
    await once(this.#http, 'close');
  }
}

export async function startTestNode(options: TestNodeOptions = {}): Promise<TestNode> {
  const node = new TestNode(options);
  await node.listen();
  return node;
}

/** A client's connection, seen from the node. */
export class TestConnection {
  /** The commands of each frame, in order of arrival. */
  readonly frames: Command[][] = [];
  readonly topics = new Set<string>();
  readonly #codec: NodeCodec;
  /** The close frame of the client, once it came. */
  closed: { readonly code: number; readonly reason: string } | null = null;

  constructor(
    node: TestNode,
    readonly webSocket: WebSocket,
  ) {
    this.#codec = encodingOf(webSocket.protocol) === 'msgpack' ? new MsgpackNodeCodec() : new JsonNodeCodec();
    webSocket.on('error', () => {});
    webSocket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
    webSocket.on('message', (data: Buffer) => {
      const commands: Command[] = [];
      this.#codec.decode(data, {
        onCommand: (command) => commands.push(command),
        onCommandError: ({ id, code, message }) => this.error(id, code, message),
      });
      this.frames.push(commands);
      for (const command of commands) node.carryOut(command, this);
    });
  }

  get commands(): Command[] {
    return this.frames.flat();
  }

  /** The commands of one type, once there are as many as that. */
  async received<Type extends Command['type']>(type: Type, count = 1): Promise<CommandOf<Type>[]> {
    return vi.waitFor(() => {
      const commands = this.commands.filter((command): command is CommandOf<Type> => command.type === type);
      if (commands.length < count) throw new Error(`${commands.length} of ${count} commands ${type}.`);
      return commands;
    }, waiting);
  }

  reply(reply: OutgoingReply): void {
    this.#send(this.#codec.reply(reply));
  }

  error(id: number | null, code: ReplyErrorCode, message = 'Because.'): void {
    this.reply({ type: 'error', id, code, message, retryable: replyErrors[code].retryable });
  }

  subscribed(
    id: number | null,
    topic: string,
    { position = null as Position | null, recovered = false, data = [] as readonly unknown[] } = {},
  ): void {
    this.reply({ type: 'subscribed', id, topic: topic as Topic, position, recovered, publications: this.#runOf(data) });
  }

  /** Pushes publications in one frame, in the encoding of the connection. */
  push(topic: string, data: readonly unknown[], position: Position | null = null): void {
    this.#publications(topic, this.#runOf(data), position);
  }

  pushPayloads(topic: string, payloads: readonly Payload[]): void {
    this.#publications(topic, runOf(payloads), null);
  }

  gap(topic: string): void {
    this.#send(this.#codec.gap(parseTopic(topic) as Topic));
  }

  raw(frame: string | Uint8Array): void {
    this.webSocket.send(frame);
  }

  close(reason: keyof typeof closeReasons | number): void {
    if (typeof reason === 'number') this.webSocket.close(reason, 'why not');
    else this.webSocket.close(closeReasons[reason].code, closeReasons[reason].reason);
  }

  /** Cuts the connection without a close frame. */
  cut(): void {
    this.webSocket.terminate();
  }

  #publications(topic: string, run: Run, position: Position | null): void {
    this.#codec.publications(topic as Topic, position, run, (frame) => this.#send(frame));
  }

  /** A copy: the codec writes the next frame into the same bytes. */
  #send(frame: string | Uint8Array): void {
    this.webSocket.send(Buffer.from(frame as Uint8Array), { binary: this.#codec.isBinary });
  }

  #runOf(data: readonly unknown[]): Run {
    if (data.length === 0) return emptyRun;
    return runOf(data.map((value) => (this.#codec.encoding === 'json' ? jsonPayload(value) : msgpackPayload(value))));
  }
}

const msgpackData = createMsgpackData();

export function msgpackPayload(value: unknown): Payload {
  return payloadOf('msgpack', Uint8Array.from(msgpackData.encode(value)));
}

export function jsonPayload(value: unknown): Payload {
  return payloadOf('json', new TextEncoder().encode(JSON.stringify(value)));
}

export function payloadOf(encoding: Encoding, bytes: Uint8Array): Payload {
  return { encoding, bytes, start: 0, end: bytes.length };
}

function runOf(payloads: readonly Payload[]): Run {
  const writer = new Writer();
  for (const payload of payloads) writeItem(writer, payload);
  return { count: payloads.length, bytes: writer.toBytes() };
}

function encodingOf(subprotocol: string): Encoding | null {
  if (subprotocol === subprotocols.msgpack) return 'msgpack';
  return subprotocol === subprotocols.json ? 'json' : null;
}

export const waiting = { timeout: 5_000, interval: 2 } as const;

/** Waits until the condition holds, 5 s at most. */
export async function until(condition: () => boolean): Promise<void> {
  await vi.waitFor(() => {
    if (!condition()) throw new Error(`Not within 5 s: ${condition}`);
  }, waiting);
}
