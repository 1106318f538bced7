/** The node's side of `fanfare.v1.msgpack` (PROTOCOL.md section 5): fixed layouts, read and written by hand. */
import { impossible } from './impossible.js';
import {
  type Command,
  type CommandId,
  commandTypes,
  type HistoryDirection,
  historyDirections,
  isKey,
  isMessageId,
  isToken,
  maxCommandId,
  maxHistoryLimit,
  maxKeyBytes,
  maxMessageIdBytes,
  maxTokenBytes,
  type OutgoingReply,
  pushTypes,
  replyTypes,
} from './messages.js';
import { writeHead, writePosition, writeStrOrNil, writeUintOrNil } from './msgpack-layout.js';
import { CommandError, type CommandSink, type Frame, type NodeCodec, removeRule } from './node-codec.js';
import type { KeyedPayload } from './payload.js';
import { isEpoch, type Position } from './position.js';
import { LayoutError, Reader } from './reader.js';
import { emptyRun, forEachItem, maxItemBytes, maxRunBytes, type Run, writeData } from './run.js';
import { explainInvalidTopic, type Topic, TopicReader } from './topic.js';
import { Writer } from './writer.js';

/** Makes an invalid topic readable in an error message. It accepts any bytes. */
const utf8 = new TextDecoder();

export class MsgpackNodeCodec implements NodeCodec {
  readonly encoding = 'msgpack';
  readonly isBinary = true;
  readonly #writer = new Writer(4096);
  readonly #reader = new Reader(new Uint8Array(0));
  readonly #topics = new TopicReader();
  replyWork = 0;

  decode(frame: Uint8Array, sink: CommandSink): void {
    const reader = this.#reader;
    reader.reset(frame);
    if (frame.length === 0) {
      sink.onCommandError(new CommandError(null, 'malformed', 'The frame is empty.'));
      return;
    }
    while (reader.at < frame.length && !sink.isOver) {
      if (!this.#decodeOne(reader, sink)) return;
    }
  }

  /** Returns false if the rest of the frame cannot be read. */
  #decodeOne(reader: Reader, sink: CommandSink): boolean {
    let id: CommandId = null;
    let command: Command | CommandError;
    try {
      const count = reader.arrayHeader('a command');
      if (count < 2) throw new LayoutError(`A command has at least 2 elements, not ${count}.`);
      const type = reader.uint('the command type');
      id = readId(reader);
      command = this.#decodeBody(reader, type, id, count);
    } catch (error) {
      if (!(error instanceof LayoutError)) throw error;
      sink.onCommandError(new CommandError(id, 'malformed', `${error.message} The rest of the frame was ignored.`));
      return false;
    }
    if (command instanceof CommandError) {
      sink.onCommandError(command);
      return command.code !== 'unknownCommand';
    }
    sink.onCommand(command);
    return true;
  }

  #decodeBody(reader: Reader, type: number, id: CommandId, count: number): Command | CommandError {
    switch (type) {
      case commandTypes.publish: {
        expectCount('publish', count, 4, 8);
        const topic = this.#readTopic(reader, id);
        const length = reader.binLength('the data of a publish');
        const end = reader.at;
        const messageId = count >= 5 && !reader.nil() ? readMessageId(reader) : null;
        const repeat = count >= 6 && !reader.nil() && reader.boolean('`repeat`');
        const key = count >= 7 && !reader.nil() ? readKey(reader) : null;
        const remove = count === 8 && !reader.nil() && reader.boolean('`remove`');
        if (remove && key === null) throw new LayoutError(removeRule);
        if (topic instanceof CommandError) return topic;
        return {
          type: 'publish',
          id,
          topic,
          messageId,
          repeat,
          key,
          remove,
          encoding: 'msgpack',
          bytes: reader.bytes,
          start: end - length,
          end,
        };
      }
      case commandTypes.subscribe: {
        if (count !== 3 && count !== 5) throw new LayoutError(`A subscribe command has 3 or 5 elements, not ${count}.`);
        const topic = this.#readTopic(reader, id);
        const since = count === 5 ? readPosition(reader) : null;
        return topic instanceof CommandError ? topic : { type: 'subscribe', id, topic, since };
      }
      case commandTypes.unsubscribe: {
        expectCount('unsubscribe', count, 3, 3);
        const topic = this.#readTopic(reader, id);
        return topic instanceof CommandError ? topic : { type: 'unsubscribe', id, topic };
      }
      case commandTypes.history: {
        if (count !== 3 && (count < 5 || count > 7)) {
          throw new LayoutError(`A history command has 3 or 5 to 7 elements, not ${count}.`);
        }
        const topic = this.#readTopic(reader, id);
        const since = count >= 5 ? readPosition(reader) : null;
        const limit = count >= 6 && !reader.nil() ? readLimit(reader) : null;
        const direction = count === 7 && !reader.nil() ? readDirection(reader) : null;
        return topic instanceof CommandError ? topic : { type: 'history', id, topic, since, limit, direction };
      }
      case commandTypes.refresh:
        expectCount('refresh', count, 3, 3);
        return { type: 'refresh', id, token: readToken(reader) };
      case commandTypes.ping:
        expectCount('ping', count, 2, 2);
        return { type: 'ping', id };
      case commandTypes.connect: {
        expectCount('connect', count, 2, 3);
        return { type: 'connect', id, token: count === 3 && !reader.nil() ? readToken(reader) : null };
      }
      default:
        return new CommandError(
          id,
          'unknownCommand',
          `Protocol version 1 has no command type ${type}. The rest of the frame was ignored.`,
        );
    }
  }

  #readTopic(reader: Reader, id: CommandId): Topic | CommandError {
    const length = reader.strLength('the topic');
    const topic = this.#topics.read(reader.bytes, reader.at - length, reader.at);
    if (topic !== null) return topic;
    const text = utf8.decode(reader.bytes.subarray(reader.at - length, reader.at));
    return new CommandError(id, 'invalidTopic', explainInvalidTopic(text));
  }

  reply(reply: OutgoingReply, room = Number.POSITIVE_INFINITY): Frame {
    const writer = this.#writer;
    writer.clear();
    this.replyWork = 0;
    switch (reply.type) {
      case 'connected':
        writeHead(writer, 6, replyTypes.connected, reply.id);
        writer.str(reply.node);
        writer.uint(reply.pingIntervalMs);
        writer.uint(reply.maxFrameBytes);
        writeUintOrNil(writer, reply.expiresInMs);
        break;
      case 'subscribed': {
        const fits = reply.publications.bytes.length <= room;
        const run = fits ? reply.publications : emptyRun;
        const items = keyedItems(run);
        writeHead(writer, 7 + elementsBehind(items), replyTypes.subscribed, reply.id);
        writer.str(reply.topic);
        writePosition(writer, reply.position);
        writer.boolean(reply.recovered && fits);
        writePublications(writer, run, items);
        this.replyWork = run.bytes.length;
        break;
      }
      case 'unsubscribed':
        writeHead(writer, 5, replyTypes.unsubscribed, reply.id);
        writer.str(reply.topic);
        writeStrOrNil(writer, reply.code);
        writeStrOrNil(writer, reply.message);
        break;
      case 'published':
        writeHead(writer, 4, replyTypes.published, reply.id);
        writePosition(writer, reply.position);
        break;
      case 'history': {
        const items = keyedItems(reply.publications);
        writeHead(writer, 8 + elementsBehind(items), replyTypes.history, reply.id);
        writer.str(reply.topic);
        writePosition(writer, reply.position);
        writer.boolean(reply.recovered);
        writeUintOrNil(writer, reply.first);
        writePublications(writer, reply.publications, items);
        this.replyWork = reply.publications.bytes.length;
        break;
      }
      case 'refreshed':
        writeHead(writer, 3, replyTypes.refreshed, reply.id);
        writeUintOrNil(writer, reply.expiresInMs);
        break;
      case 'pong':
        writeHead(writer, 2, replyTypes.pong, reply.id);
        break;
      case 'error':
        writeHead(writer, reply.retryAfterMs === null ? 5 : 6, replyTypes.error, reply.id);
        writer.str(reply.code);
        writer.str(reply.message);
        writer.boolean(reply.retryable);
        if (reply.retryAfterMs !== null) writer.uint(reply.retryAfterMs);
        break;
      default:
        return impossible(reply);
    }
    return writer.view() as Frame;
  }

  publications(topic: Topic, position: Position | null, run: Run, emit: (frame: Frame) => void): void {
    const writer = this.#writer;
    if (run.hasKeys) return this.#keyedPublications(topic, position, run, emit);
    this.#beginPublications(0, topic, position);
    writer.arrayHeader(run.count);
    writer.copy(run.bytes);
    emit(writer.view() as Frame);
  }

  /** Behind the items, keys may take more bytes than in the run, so that one frame would be too long for all items. */
  #keyedPublications(topic: Topic, position: Position | null, run: Run, emit: (frame: Frame) => void): void {
    let items: KeyedPayload[] = [];
    let bytes = 0;
    let itemsBefore = 0;
    const finish = (): void => {
      const first = position && { epoch: position.epoch, offset: position.offset + itemsBefore };
      this.#beginPublications(elementsBehind(items), topic, first);
      writeItems(this.#writer, items);
      emit(this.#writer.view() as Frame);
      itemsBefore += items.length;
      items = [];
      bytes = 0;
    };
    forEachItem(run, (item) => {
      // In a frame, an item takes no more: its data has a shorter head if it is not long.
      const itemBytes = maxItemBytes(item);
      if (items.length > 0 && bytes + itemBytes > maxRunBytes) finish();
      items.push(item);
      bytes += itemBytes;
    });
    if (items.length > 0) finish();
  }

  #beginPublications(elementsBehindItems: number, topic: Topic, position: Position | null): void {
    const writer = this.#writer;
    writer.clear();
    writer.arrayHeader(5 + elementsBehindItems);
    writer.byte(pushTypes.publications);
    writer.strHeader(topic.length);
    writer.ascii(topic);
    writePosition(writer, position);
  }

  gap(topic: Topic, position: Position | null): Frame {
    return this.#break(pushTypes.gap, topic, position);
  }

  reset(topic: Topic, position: Position): Frame {
    return this.#break(pushTypes.reset, topic, position);
  }

  goaway(delayMs: number): Frame {
    this.#writer.clear();
    this.#writer.arrayHeader(2);
    this.#writer.byte(pushTypes.goaway);
    this.#writer.uint(delayMs);
    return this.#writer.view() as Frame;
  }

  #break(type: number, topic: Topic, position: Position | null): Frame {
    this.#writer.clear();
    this.#writer.arrayHeader(4);
    this.#writer.byte(type);
    this.#writer.str(topic);
    writePosition(this.#writer, position);
    return this.#writer.view() as Frame;
  }
}

/** The publications of a run with keys; null without keys: MessagePack subscribers then get its bytes. */
function keyedItems(run: Run): readonly KeyedPayload[] | null {
  if (!run.hasKeys) return null;
  const items: KeyedPayload[] = [];
  forEachItem(run, (item) => items.push(item));
  return items;
}

/**
 * How many elements follow the items: the keys, if there are any, and the places of the items with `remove`, if there
 * are any. Clients that know no keys ignore them.
 */
function elementsBehind(items: readonly KeyedPayload[] | null): number {
  if (items === null || items.every(({ key }) => key === null)) return 0;
  return items.some(({ remove }) => remove) ? 2 : 1;
}

/** Writes the publications as the last elements of a message. `items`: of {@link keyedItems}. */
function writePublications(writer: Writer, run: Run, items: readonly KeyedPayload[] | null): void {
  if (items === null) {
    writer.arrayHeader(run.count);
    writer.copy(run.bytes);
  } else writeItems(writer, items);
}

function writeItems(writer: Writer, items: readonly KeyedPayload[]): void {
  writer.arrayHeader(items.length);
  for (const item of items) writeData(writer, item);
  const elements = elementsBehind(items);
  if (elements === 0) return;
  writer.arrayHeader(items.length);
  for (const { key } of items) writeStrOrNil(writer, key);
  if (elements === 1) return;
  const removed = [...items.keys()].filter((place) => items[place]?.remove === true);
  writer.arrayHeader(removed.length);
  for (const place of removed) writer.uint(place);
}

function expectCount(name: string, count: number, least: number, most: number): void {
  if (count >= least && count <= most) return;
  throw new LayoutError(
    `A ${name} command has ${least === most ? least : `${least} to ${most}`} elements, not ${count}.`,
  );
}

function readId(reader: Reader): CommandId {
  if (reader.nil()) return null;
  const id = reader.uint('the id');
  if (id >= 1 && id <= maxCommandId) return id;
  throw new LayoutError(`The id is ${id}; it must be nil or an integer from 1 to ${maxCommandId}.`);
}

function readPosition(reader: Reader): Position | null {
  if (reader.nil()) {
    if (!reader.nil()) throw new LayoutError('A position has an offset but no epoch.');
    return null;
  }
  const epoch = reader.str('the epoch');
  if (!isEpoch(epoch)) throw new LayoutError('The epoch is not 1 to 32 characters of A-Z a-z 0-9 _ -.');
  return { epoch, offset: reader.uint('the offset') };
}

function readMessageId(reader: Reader): string {
  const messageId = reader.str('the messageId');
  if (isMessageId(messageId)) return messageId;
  throw new LayoutError(`The messageId is not 1 to ${maxMessageIdBytes} characters of printable ASCII.`);
}

function readKey(reader: Reader): string {
  const key = reader.str('the key');
  if (isKey(key)) return key;
  throw new LayoutError(`The key is not 1 to ${maxKeyBytes} characters of printable ASCII without spaces.`);
}

function readLimit(reader: Reader): number {
  const limit = reader.uint('the limit');
  if (limit >= 1 && limit <= maxHistoryLimit) return limit;
  throw new LayoutError(`The limit is ${limit}; it must be nil or an integer from 1 to ${maxHistoryLimit}.`);
}

function readDirection(reader: Reader): HistoryDirection {
  const text = reader.str('the direction');
  const direction = historyDirections.find((known) => known === text);
  if (direction !== undefined) return direction;
  throw new LayoutError('The direction must be nil, "forward" or "backward".');
}

function readToken(reader: Reader): string {
  const token = reader.str('the token');
  if (isToken(token)) return token;
  throw new LayoutError(`The token is longer than ${maxTokenBytes} bytes.`);
}
