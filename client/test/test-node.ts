/**
 * A node for tests, which can misbehave: a real WebSocket server with the codecs of the protocol. By default it answers
 * every command and delivers publications to its own subscribers; `on` replaces its behavior for a type of command.
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
  type KeyedPayload,
  MsgpackNodeCodec,
  type NodeCodec,
  type OutgoingReply,
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
/** Carries out a command; `proceed` is the default behavior. */
type Handler<Type extends Command['type']> = (
  command: CommandOf<Type>,
  connection: TestConnection,
  proceed: () => void,
) => void;

interface TestNodeOptions {
  readonly pingIntervalMs?: number;
  readonly maxFrameBytes?: number;
  /** Whether topics keep history, like those of level recoverable. */
  readonly hasHistory?: boolean;
  /** Maximum number of publications in one reply. */
  readonly maxPublications?: number;
  /** How long tokens are valid. */
  readonly expiresInMs?: number | null;
}

/** The history of a topic. */
interface Log {
  epoch: string;
  /** Publications up to this offset are trimmed. */
  forgotten: number;
  readonly payloads: KeyedPayload[];
  /** Offsets by `messageId`. */
  readonly known: Map<string, number>;
}

export class TestNode {
  readonly connections: TestConnection[] = [];
  name = 'test';
  readonly options: Required<TestNodeOptions>;
  /** While set: which pushes of topics with history get lost. */
  isLost: ((position: Position, connection: TestConnection) => boolean) | null = null;
  readonly #logs = new Map<string, Log>();
  /** While set: the HTTP status for new connections instead of an upgrade. The body is `sentence`. */
  refuseWith: number | null = null;
  sentence = '';
  /** The `Retry-After` header of the refusal, in seconds. */
  retryAfter: number | null = null;
  /** While set, the node does not answer opening handshakes. */
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
    this.options = {
      pingIntervalMs: 25_000,
      maxFrameBytes: 65_536,
      hasHistory: false,
      maxPublications: 1_000,
      expiresInMs: null,
      ...options,
    };
    this.#http.on('request', (_request, response) => response.writeHead(this.refuseWith ?? 426).end(this.sentence));
    this.#http.on('upgrade', (request: IncomingMessage, socket, head) => {
      this.upgrades++;
      this.#sockets.add(socket);
      socket.on('error', () => {});
      if (this.ignoreUpgrades) return;
      if (this.refuseWith !== null) {
        const { refuseWith, sentence, retryAfter } = this;
        const wait = retryAfter === null ? '' : `Retry-After: ${retryAfter}\r\n`;
        socket.end(`HTTP/1.1 ${refuseWith} No\r\n${wait}Content-Length: ${sentence.length}\r\n\r\n${sentence}`);
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

  /** Restores the default behavior. */
  reset(type: Command['type']): void {
    this.#handlers.delete(type);
  }

  /** The n-th connection, once it is open and has sent a frame. */
  async connection(index = 0): Promise<TestConnection> {
    return vi.waitFor(() => {
      const connection = this.connections[index];
      if (connection === undefined || connection.frames.length === 0)
        throw new Error(`There is no connection ${index} with a frame.`);
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
        return connection.reply({ type: 'connected', id, node: this.name, ...this.options });
      case 'subscribe':
        connection.topics.add(command.topic);
        return this.options.hasHistory
          ? this.#subscribed(command, connection)
          : connection.subscribed(id, command.topic);
      case 'unsubscribe':
        connection.topics.delete(command.topic);
        return connection.unsubscribed(id, command.topic);
      case 'publish':
        if (this.options.hasHistory) {
          const position = this.append(command.topic, command, command.messageId);
          return id === null ? undefined : connection.reply({ type: 'published', id, position });
        }
        if (command.repeat) return connection.error(id, 'noHistory');
        for (const peer of this.connections)
          if (peer.topics.has(command.topic)) peer.pushPayloads(command.topic, [command]);
        if (id !== null) connection.reply({ type: 'published', id, position: null });
        return;
      case 'history':
        return this.options.hasHistory ? this.#history(command, connection) : connection.error(id, 'noHistory');
      case 'refresh':
        return connection.reply({ type: 'refreshed', id, expiresInMs: this.options.expiresInMs });
      case 'ping':
        return connection.reply({ type: 'pong', id });
    }
  }

  log(topic: string): Log {
    const log = this.#logs.get(topic) ?? { epoch: 'e1', forgotten: 0, payloads: [], known: new Map() };
    this.#logs.set(topic, log);
    return log;
  }

  /** The data of all publications to a topic with history. They must be JSON. */
  data(topic: string): unknown[] {
    return this.log(topic).payloads.map(({ bytes, start, end }) =>
      JSON.parse(Buffer.from(bytes).toString('utf8', start, end)),
    );
  }

  /** Publishes to a topic with history. A known messageId is not published again. */
  append(topic: string, payload: KeyedPayload, messageId: string | null = null): Position {
    const { epoch, payloads, known } = this.log(topic);
    const before = messageId === null ? undefined : known.get(messageId);
    if (before !== undefined) return { epoch, offset: before };
    payloads.push(payload);
    const position = { epoch, offset: payloads.length };
    if (messageId !== null) known.set(messageId, position.offset);
    for (const peer of this.connections) {
      if (peer.topics.has(topic) && !this.isLost?.(position, peer)) peer.pushPayloads(topic, [payload], position);
    }
    return position;
  }

  /** Publishes each of the values. */
  publish(topic: string, ...values: unknown[]): void {
    for (const value of values) this.append(topic, jsonPayload(value));
  }

  position(topic: string): Position {
    const { epoch, payloads } = this.log(topic);
    return { epoch, offset: payloads.length };
  }

  #subscribed({ id, topic, since }: CommandOf<'subscribe'>, connection: TestConnection): void {
    const position = this.position(topic);
    const { epoch, payloads, forgotten } = this.log(topic);
    const missed = since === null ? [] : payloads.slice(since.offset);
    const recovered =
      since?.epoch === epoch && since.offset >= forgotten && missed.length <= this.options.maxPublications;
    const publications = runOf(recovered ? missed : []);
    connection.reply({ type: 'subscribed', id, topic, position, recovered, publications });
  }

  #history({ id, topic, since, limit, direction }: CommandOf<'history'>, connection: TestConnection): void {
    const { epoch, payloads, forgotten } = this.log(topic);
    const most = Math.min(limit ?? 100, this.options.maxPublications);
    let start = forgotten;
    let end = payloads.length;
    let recovered = since?.epoch === epoch;
    if (direction === 'backward') {
      if (since !== null) end = recovered ? since.offset - 1 : 0;
      start = Math.max(start, end - most);
    } else if (since !== null) {
      if (!recovered) end = 0;
      recovered = recovered && since.offset >= forgotten;
      start = Math.max(start, since.offset);
    }
    const found = payloads.slice(start, Math.min(end, start + most));
    const first = found.length === 0 ? null : start + 1;
    const publications = runOf(found);
    connection.reply({ type: 'history', id, topic, position: this.position(topic), recovered, first, publications });
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

/** A client's connection, at the node. */
export class TestConnection {
  /** The commands of each frame, in order of arrival. */
  readonly frames: Command[][] = [];
  /** The length of each frame, in bytes. */
  readonly sizes: number[] = [];
  readonly topics = new Set<string>();
  readonly #codec: NodeCodec;
  /** The close frame of the client, once it arrived. */
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
      this.sizes.push(data.length);
      this.#codec.decode(data, {
        isOver: false,
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

  /** The commands of one type, once there are at least `count`. */
  async received<Type extends Command['type']>(type: Type, count = 1): Promise<CommandOf<Type>[]> {
    return vi.waitFor(() => {
      const commands = this.commands.filter((command): command is CommandOf<Type> => command.type === type);
      if (commands.length < count) throw new Error(`Only ${commands.length} of ${count} ${type} commands arrived.`);
      return commands;
    }, waiting);
  }

  reply(reply: OutgoingReply): void {
    this.#send(this.#codec.reply(reply));
  }

  error(id: number | null, code: ReplyErrorCode, message = 'Because.', retryAfterMs: number | null = null): void {
    this.reply({ type: 'error', id, code, message, retryable: replyErrors[code].retryable, retryAfterMs });
  }

  subscribed(
    id: number | null,
    topic: string,
    { position = null as Position | null, recovered = false, data = [] as readonly unknown[] } = {},
  ): void {
    this.reply({ type: 'subscribed', id, topic: topic as Topic, position, recovered, publications: this.#runOf(data) });
  }

  /** With a code, the node has ended the subscription. */
  unsubscribed(id: number | null, topic: string, code: ReplyErrorCode | null = null): void {
    this.reply({ type: 'unsubscribed', id, topic: topic as Topic, code, message: code && 'Because.' });
  }

  /** Pushes publications in one frame, in the encoding of the connection. */
  push(topic: string, data: readonly unknown[], position: Position | null = null): void {
    this.#publications(topic, this.#runOf(data), position);
  }

  pushPayloads(topic: string, payloads: readonly KeyedPayload[], position: Position | null = null): void {
    this.#publications(topic, runOf(payloads), position);
  }

  gap(topic: string, position: Position | null = null): void {
    this.#send(this.#codec.gap(parseTopic(topic) as Topic, position));
  }

  /** Pushes a reset to a new epoch. */
  resetTopic(topic: string, position: Position): void {
    this.#send(this.#codec.reset(topic as Topic, position));
  }

  goaway(delayMs = 0): void {
    this.#send(this.#codec.goaway(delayMs));
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

export function msgpackPayload(value: unknown): KeyedPayload {
  return payloadOf('msgpack', Uint8Array.from(msgpackData.encode(value)));
}

export function jsonPayload(value: unknown): KeyedPayload {
  return payloadOf('json', new TextEncoder().encode(JSON.stringify(value)));
}

export function payloadOf(encoding: Encoding, bytes: Uint8Array): KeyedPayload {
  return { encoding, bytes, start: 0, end: bytes.length, key: null, remove: false };
}

function runOf(payloads: readonly KeyedPayload[]): Run {
  const writer = new Writer();
  for (const payload of payloads) writeItem(writer, payload);
  return { count: payloads.length, bytes: writer.toBytes(), hasKeys: payloads.some(({ key }) => key !== null) };
}

function encodingOf(subprotocol: string): Encoding | null {
  if (subprotocol === subprotocols.msgpack) return 'msgpack';
  return subprotocol === subprotocols.json ? 'json' : null;
}

const waiting = { timeout: 60_000, interval: 4 } as const;

/** Waits until the condition holds, a minute at most. */
export async function until(condition: () => boolean): Promise<void> {
  await vi.waitFor(() => {
    if (!condition()) throw new Error(`The condition did not hold within a minute: ${condition}`);
  }, waiting);
}
