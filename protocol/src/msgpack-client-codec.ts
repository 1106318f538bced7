/** The client's side of `fanfare.v1.msgpack` (PROTOCOL.md section 5). */
import type { ClientCodec } from './client-codec.js';
import type { ReplyErrorCode } from './errors.js';
import { impossible } from './impossible.js';
import {
  type CommandId,
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

  constructor(data: DataCodec) {
    this.#data = data;
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
        const { id, topic, data, messageId, repeat = false } = command;
        writeHead(writer, repeat ? 6 : messageId === null ? 4 : 5, commandTypes.publish, id);
        writer.str(topic);
        writer.bin(this.#data.encode(data));
        if (repeat || messageId !== null) writeStrOrNil(writer, messageId);
        if (repeat) writer.boolean(true);
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
    const writer = this.#writer;
    writer.clear();
    writer.arrayHeader(6);
    // Behind its own header, which is one byte.
    writer.copy(encoded as Uint8Array, 1, encoded.length);
    writer.boolean(true);
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
    const reader = new Reader(new Uint8Array(frame));
    const count = reader.arrayHeader('a message');
    if (count < 2) throw new LayoutError(`A message has at least 2 elements, not ${count}.`);
    const type = reader.uint('the message type');
    // A newer node may add elements behind those we know: they are not read.
    switch (type) {
      case pushTypes.publications: {
        const topic = reader.str('the topic');
        const position = readPosition(reader);
        return { type: 'publications', topic, position, items: this.#readItems(reader) };
      }
      case pushTypes.gap: {
        const topic = reader.str('the topic');
        return { type: 'gap', topic, position: count === 2 ? null : readPosition(reader) };
      }
      case pushTypes.reset: {
        const topic = reader.str('the topic');
        return { type: 'reset', topic, position: present(readPosition(reader)) };
      }
      case pushTypes.goaway:
        return { type: 'goaway', delayMs: reader.uint('`delayMs`') };
      case replyTypes.published: {
        const id = readId(reader);
        return { type: 'published', id, position: readPosition(reader) };
      }
      case replyTypes.subscribed: {
        const id = readId(reader);
        const topic = reader.str('the topic');
        const position = readPosition(reader);
        const recovered = reader.boolean('`recovered`');
        return { type: 'subscribed', id, topic, position, recovered, publications: this.#readItems(reader) };
      }
      case replyTypes.history: {
        const id = readId(reader);
        const topic = reader.str('the topic');
        const position = present(readPosition(reader));
        const recovered = reader.boolean('`recovered`');
        const first = uintOrNil(reader, '`first`');
        return { type: 'history', id, topic, position, recovered, first, publications: this.#readItems(reader) };
      }
      case replyTypes.unsubscribed: {
        const id = readId(reader);
        const topic = reader.str('the topic');
        if (count === 3) return { type: 'unsubscribed', id, topic, code: null, message: null };
        const code = strOrNil(reader, 'the code') as ReplyErrorCode | null;
        return { type: 'unsubscribed', id, topic, code, message: strOrNil(reader, 'the message') };
      }
      case replyTypes.refreshed: {
        const id = readId(reader);
        return { type: 'refreshed', id, expiresInMs: uintOrNil(reader, '`expiresInMs`') };
      }
      case replyTypes.pong:
        return { type: 'pong', id: readId(reader) };
      case replyTypes.connected: {
        const id = readId(reader);
        const node = reader.str('the node');
        const pingIntervalMs = reader.uint('`pingIntervalMs`');
        const maxFrameBytes = reader.uint('`maxFrameBytes`');
        const expiresInMs = count === 5 ? null : uintOrNil(reader, '`expiresInMs`');
        return { type: 'connected', id, node, pingIntervalMs, maxFrameBytes, expiresInMs };
      }
      case replyTypes.error: {
        const id = readId(reader);
        // A newer node may send an unknown code. Pass it on: `retryable` decides how to handle it.
        const code = reader.str('the code') as ReplyErrorCode;
        const message = reader.str('the message');
        const retryable = reader.boolean('`retryable`');
        const retryAfterMs = count === 5 ? null : uintOrNil(reader, '`retryAfterMs`');
        return { type: 'error', id, code, message, retryable, retryAfterMs };
      }
      default:
        return null;
    }
  }

  #readItems(reader: Reader): Item[] {
    const count = reader.arrayHeader('the list of publications');
    const items: Item[] = [];
    for (let index = 0; index < count; index++) items.push(this.#decodeItem(reader.payload()));
    return items;
  }

  #decodeItem(payload: Payload): Item {
    const bytes = payload.bytes.subarray(payload.start, payload.end);
    try {
      return { data: payload.encoding === 'msgpack' ? this.#data.decode(bytes) : JSON.parse(utf8.decode(bytes)) };
    } catch {
      // The publisher sent bytes that are not a value. The other publications are valid.
      return { error: 'undecodable' };
    }
  }
}

function strOrNil(reader: Reader, what: string): string | null {
  return reader.nil() ? null : reader.str(what);
}

function uintOrNil(reader: Reader, what: string): number | null {
  return reader.nil() ? null : reader.uint(what);
}

function readId(reader: Reader): CommandId {
  return reader.nil() ? null : reader.uint('the id');
}

function readPosition(reader: Reader): Position | null {
  if (!reader.nil()) return { epoch: reader.str('the epoch'), offset: reader.uint('the offset') };
  if (!reader.nil()) throw new LayoutError('A position has an offset but no epoch.');
  return null;
}

function present(position: Position | null): Position {
  if (position !== null) return position;
  throw new LayoutError('The position is missing.');
}
