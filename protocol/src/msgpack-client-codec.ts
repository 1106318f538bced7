/** The client's side of `fanfare.v1.msgpack` (PROTOCOL.md section 5). */
import type { ClientCodec } from './client-codec.js';
import { impossible } from './impossible.js';
import {
  commandTypes,
  type Item,
  type OutgoingCommand,
  pushTypes,
  replyTypes,
  type ServerMessage,
} from './messages.js';
import { writeHead, writePosition, writeStrOrNil, writeUintOrNil } from './msgpack-layout.js';
import type { Payload } from './payload.js';
import type { Position } from './position.js';
import { LayoutError, Reader } from './reader.js';
import { type Fields, serverMessages } from './server-messages.js';
import { Writer } from './writer.js';

/** Turns the data of publications into MessagePack and back. */
export interface DataCodec {
  encode(data: unknown): Uint8Array;
  /** `bytes` is a view into the frame. Throws if it is not exactly one value. */
  decode(bytes: Uint8Array): unknown;
}

const utf8 = new TextDecoder();

export class MsgpackClientCodec implements ClientCodec {
  readonly encoding = 'msgpack';
  readonly #data: DataCodec;
  readonly #writer = new Writer();
  readonly #reader: MessageReader;

  constructor(data: DataCodec) {
    this.#data = data;
    this.#reader = new MessageReader(data);
  }

  encode(command: OutgoingCommand): Uint8Array {
    const writer = this.#writer;
    writer.clear();
    switch (command.type) {
      case 'connect':
        writeHead(writer, 3, commandTypes.connect, command.id);
        writeStrOrNil(writer, command.token);
        break;
      case 'refresh':
        writeHead(writer, 3, commandTypes.refresh, command.id);
        writer.str(command.token);
        break;
      case 'subscribe': {
        const { id, topic, since } = command;
        writeHead(writer, since === null ? 3 : 5, commandTypes.subscribe, id);
        writer.str(topic);
        if (since !== null) writePosition(writer, since);
        break;
      }
      case 'unsubscribe':
        writeHead(writer, 3, commandTypes.unsubscribe, command.id);
        writer.str(command.topic);
        break;
      case 'publish': {
        const { id, topic, data, messageId, repeat = false, key = null, remove = false } = command;
        const count = remove ? 8 : key !== null ? 7 : repeat ? 6 : messageId !== null ? 5 : 4;
        writeHead(writer, count, commandTypes.publish, id);
        writer.str(topic);
        writer.bin(this.#data.encode(data));
        if (count >= 5) writeStrOrNil(writer, messageId);
        if (count >= 6) writer.boolean(repeat);
        if (count >= 7) writeStrOrNil(writer, key);
        if (count === 8) writer.boolean(true);
        break;
      }
      case 'history': {
        const { id, topic, since, limit, direction } = command;
        writeHead(writer, 7, commandTypes.history, id);
        writer.str(topic);
        writePosition(writer, since);
        writeUintOrNil(writer, limit);
        writeStrOrNil(writer, direction);
        break;
      }
      case 'ping':
        writeHead(writer, 2, commandTypes.ping, command.id);
        break;
      default:
        return impossible(command);
    }
    return writer.toBytes();
  }

  repeat(encoded: string | Uint8Array): Uint8Array {
    const bytes = encoded as Uint8Array;
    const reader = this.#reader;
    const own = 'a publish';
    reader.begin(bytes);
    reader.uint(own);
    reader.uintOrNull(own);
    reader.strLength(own);
    reader.binLength(own);
    reader.strLength(own);
    const writer = this.#writer;
    writer.clear();
    writer.arrayHeader(Math.max(reader.count, 6));
    // Behind its own header, which is one byte.
    writer.copy(bytes, 1, reader.at);
    writer.boolean(true);
    // A key follows `repeat`, which is one byte.
    if (reader.count > 6) writer.copy(bytes, reader.at + 1);
    return writer.toBytes();
  }

  join(encoded: readonly (string | Uint8Array)[]): Uint8Array {
    if (encoded.length === 1) return encoded[0] as Uint8Array;
    const writer = this.#writer;
    writer.clear();
    for (const command of encoded) writer.copy(command as Uint8Array);
    return writer.toBytes();
  }

  decode(frame: string | ArrayBuffer): ServerMessage | null {
    if (typeof frame === 'string') throw new LayoutError('Received a text frame on a MessagePack connection.');
    const reader = this.#reader;
    reader.begin(new Uint8Array(frame));
    const read = messages.get(reader.uint('the message type'));
    return read === undefined ? null : read(reader);
  }
}

/** How each message is read, by its number. */
const messages: ReadonlyMap<number, (fields: Fields) => ServerMessage> = /* @__PURE__ */ new Map(
  /* @__PURE__ */ Object.entries({ ...replyTypes, ...pushTypes }).map(([type, number]) => [
    number,
    serverMessages[type as ServerMessage['type']],
  ]),
);

/** A newer node may add elements behind those we know: they are not read. */
class MessageReader extends Reader implements Fields {
  count = 0;
  readonly #data: DataCodec;

  constructor(data: DataCodec) {
    super(new Uint8Array(0));
    this.#data = data;
  }

  begin(frame: Uint8Array): void {
    this.reset(frame);
    this.count = this.arrayHeader('a message');
    if (this.count < 2) throw new LayoutError(`A message has at least 2 elements, not ${this.count}.`);
  }

  strOrNull(name: string): string | null {
    return this.nil() ? null : this.str(name);
  }

  uintOrNull(name: string): number | null {
    return this.nil() ? null : this.uint(name);
  }

  position(): Position | null {
    if (!this.nil()) return { epoch: this.str('the epoch'), offset: this.uint('the offset') };
    if (!this.nil()) throw new LayoutError('A position has an offset but no epoch.');
    return null;
  }

  items(_name: string, end: number): readonly Item[] {
    const count = this.arrayHeader('the list of publications');
    const items: Item[] = [];
    for (let index = 0; index < count; index++) items.push(this.#decode(this.payload()));
    if (this.count === end) return items;
    const keys = this.#list(end, () => this.strOrNull('a key'));
    const removed = new Set(this.#list(end + 1, () => this.uint('a place')));
    return items.map((item, index) => {
      const key = keys[index] ?? null;
      return key === null ? item : { ...item, key, ...(removed.has(index) && { remove: true }) };
    });
  }

  /** A list that is the element at `place`; empty if the message has none. */
  #list<Element>(place: number, read: () => Element): readonly Element[] {
    return this.count <= place || this.nil() ? [] : Array.from({ length: this.arrayHeader('a list') }, read);
  }

  #decode(payload: Payload): Item {
    const bytes = payload.bytes.subarray(payload.start, payload.end);
    try {
      return { data: payload.encoding === 'msgpack' ? this.#data.decode(bytes) : JSON.parse(utf8.decode(bytes)) };
    } catch {
      // The publisher sent bytes that are not a value. The other publications are valid.
      return { error: 'undecodable' };
    }
  }
}
