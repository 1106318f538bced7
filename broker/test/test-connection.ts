/**
 * A WebSocket that speaks the protocol message by message, for tests of the wire protocol. Applications use
 * @fanfare/client.
 */
import { once } from 'node:events';
import {
  type ClientCodec,
  type Encoding,
  type Item,
  jsonClientCodec,
  MsgpackClientCodec,
  type OutgoingCommand,
  type Reply,
  type ServerMessage,
  subprotocols,
} from '@fanfare/protocol';
import { pack, unpack } from 'msgpackr';
import { type ClientOptions, WebSocket } from 'ws';
import { Inbox, until, within } from './wait.js';

interface Closed {
  readonly code: number;
  readonly reason: string;
}

type WithoutId<Command> = Command extends { id: unknown } ? Omit<Command, 'id'> : never;

export class TestConnection implements AsyncDisposable {
  readonly encoding: Encoding;
  readonly socket: WebSocket;
  /** How the connection ended. */
  readonly closed: Promise<Closed>;
  /** Messages that have arrived and were not taken. */
  readonly inbox = new Inbox<ServerMessage>();
  readonly #codec: ClientCodec;
  #lastId = 0;

  private constructor(url: string, encoding: Encoding, options: ClientOptions) {
    this.encoding = encoding;
    this.#codec = encoding === 'json' ? jsonClientCodec : new MsgpackClientCodec({ encode: pack, decode: unpack });
    this.socket = new WebSocket(url, subprotocols[encoding], options);
    this.socket.binaryType = 'arraybuffer';
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    this.socket.on('message', (data, isBinary) => {
      const message = this.#codec.decode(isBinary ? (data as ArrayBuffer) : text(data));
      if (message !== null) this.inbox.push(message);
    });
  }

  static async open(url: string, encoding: Encoding = 'msgpack', options: ClientOptions = {}): Promise<TestConnection> {
    const connection = new TestConnection(url, encoding, options);
    await within('the connection opens', once(connection.socket, 'open'));
    connection.socket.on('error', () => undefined);
    return connection;
  }

  /** Sends a command and resolves with its reply, of any type. */
  async request(command: WithoutId<OutgoingCommand>): Promise<Reply> {
    const id = ++this.#lastId;
    this.send({ ...command, id } as OutgoingCommand);
    const isReply = (message: ServerMessage): message is Reply => 'id' in message && message.id === id;
    return this.inbox.take(`a reply to ${command.type} ${id}`, isReply);
  }

  /** Like a client: sends the command again while the node cannot serve it, for example just after Redis is back. */
  async requestServed(command: WithoutId<OutgoingCommand>): Promise<Reply> {
    return until('the node serves the command', async () => {
      const reply = await this.request(command);
      return (reply.type !== 'error' || reply.code !== 'unavailable') && reply;
    });
  }

  /** Sends commands in one frame. */
  send(...commands: OutgoingCommand[]): void {
    this.socket.send(this.#codec.join(commands.map((command) => this.#codec.encode(command))));
  }

  sendRaw(frame: string | Uint8Array): void {
    this.socket.send(frame);
  }

  async subscribe(topic: string): Promise<Reply> {
    return this.request({ type: 'subscribe', topic, since: null });
  }

  async unsubscribe(topic: string): Promise<Reply> {
    return this.request({ type: 'unsubscribe', topic });
  }

  /** With acknowledgement. */
  async publish(topic: string, data: unknown): Promise<Reply> {
    return this.request({ type: 'publish', topic, data, messageId: null });
  }

  /** Without acknowledgement. */
  post(topic: string, ...data: unknown[]): void {
    this.send(...data.map((item) => ({ type: 'publish', id: null, topic, data: item, messageId: null }) as const));
  }

  /** The data of the next `count` publications of a topic. */
  async take(topic: string, count: number): Promise<unknown[]> {
    const taken: Item[] = [];
    while (taken.length < count) {
      const push = await this.inbox.take(
        `publication ${taken.length + 1} of ${count} of ${topic}`,
        (message) => message.type === 'publications' && message.topic === topic,
      );
      if (push.type === 'publications') taken.push(...push.items);
    }
    return taken.map((item) => ('data' in item ? item.data : item));
  }

  /** The next message of a type. */
  next<Type extends ServerMessage['type']>(type: Type): Promise<Extract<ServerMessage, { type: Type }>> {
    return this.inbox.take(
      `a message of type ${type}`,
      (message): message is Extract<ServerMessage, { type: Type }> => message.type === type,
    );
  }

  /** Resolves when everything sent to this connection so far has arrived. */
  async settle(): Promise<void> {
    await this.request({ type: 'ping' });
  }

  async close(): Promise<void> {
    this.socket.close();
    await within('the connection closes', this.closed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.terminate();
    await this.closed;
  }
}

function text(data: unknown): string {
  return Buffer.from(data as ArrayBuffer).toString();
}
