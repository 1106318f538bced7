/** The node's side of `fanfare.v1.json` (PROTOCOL.md section 5): one command or an array of commands per text frame. */
import { impossible } from './impossible.js';
import { jsonFault } from './json-fault.js';
import { dataSpans, type Span } from './json-spans.js';
import { JsonWriter } from './json-writer.js';
import {
  type Command,
  type CommandId,
  historyDirections,
  isKey,
  isMessageId,
  isToken,
  maxCommandId,
  maxDataDepth,
  maxHistoryLimit,
  maxKeyBytes,
  maxMessageIdBytes,
  maxReplyBytes,
  maxTokenBytes,
  type OutgoingReply,
} from './messages.js';
import { CommandError, type CommandSink, type Frame, type NodeCodec, removeRule } from './node-codec.js';
import type { KeyedPayload } from './payload.js';
import { isEpoch, type Position } from './position.js';
import { forEachItem, maxRunBytes, type Run } from './run.js';
import { explainInvalidTopic, parseTopic, type Topic } from './topic.js';
import { writeAsJson } from './transcode.js';

// Strict, and it keeps a byte order mark (JSON.parse refuses it). The bytes of `data` go to subscribers unchanged. A
// text frame with invalid UTF-8 would make browsers close every JSON connection (RFC 6455 section 8.1).
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

type Fields = { readonly [field: string]: unknown };

export class JsonNodeCodec implements NodeCodec {
  readonly encoding = 'json';
  readonly isBinary = false;
  readonly #writer = new JsonWriter(4096);
  /** The publications of a reply, each with a comma before it, in the order in which they were written. */
  readonly #items = new JsonWriter(4096);
  replyWork = 0;

  decode(frame: Uint8Array, sink: CommandSink): void {
    let parsed: unknown;
    try {
      parsed = JSON.parse(utf8.decode(frame));
    } catch (error) {
      sink.onCommandError(new CommandError(null, 'malformed', `The frame is not JSON: ${jsonFault(error)}.`));
      return;
    }
    const commands: readonly unknown[] = Array.isArray(parsed) ? parsed : [parsed];
    if (commands.length === 0) {
      sink.onCommandError(new CommandError(null, 'malformed', 'The frame is an empty array.'));
      return;
    }
    // Subscribers get the text of each `data` unchanged (a 64-bit number keeps its digits), so it is found, not
    // rebuilt.
    let spans: readonly (Span | null)[] | null = null;
    for (const [index, fields] of commands.entries()) {
      if (sink.isOver) return;
      if (!isFields(fields)) {
        sink.onCommandError(new CommandError(null, 'malformed', `A command is a JSON object, not ${kindOf(fields)}.`));
        continue;
      }
      if (fields['type'] === 'publish') spans ??= dataSpans(frame);
      const command = decodeCommand(fields, frame, spans?.[index] ?? null);
      if (command instanceof CommandError) sink.onCommandError(command);
      else sink.onCommand(command);
    }
  }

  reply(reply: OutgoingReply, room = Number.POSITIVE_INFINITY): Frame {
    this.replyWork = 0;
    switch (reply.type) {
      case 'connected':
      case 'unsubscribed':
      case 'refreshed':
      case 'pong':
      case 'error':
        return JSON.stringify(reply, (_name, value) => value ?? undefined) as unknown as Frame;
      case 'published':
        return JSON.stringify({ type: reply.type, id: reply.id ?? undefined, ...reply.position }) as unknown as Frame;
      case 'subscribed': {
        const { type, id, topic, position, recovered, publications } = reply;
        const ends = publications.bytes.length > room ? [0] : this.#writeItems(publications, room, 0, false);
        const fits = ends.length > publications.count;
        if (!fits) ends.length = 1;
        const head = { type, id: id ?? undefined, topic, ...position, recovered: recovered && fits };
        return this.#withItems(head, ends, false);
      }
      case 'history': {
        const { type, id, topic, position, recovered, publications, direction } = reply;
        const isBackward = direction === 'backward';
        const ends = this.#writeItems(publications, maxReplyBytes, 1, isBackward);
        const left = isBackward ? publications.count - (ends.length - 1) : 0;
        const first = reply.first === null ? undefined : reply.first + left;
        return this.#withItems({ type, id: id ?? undefined, topic, ...position, recovered, first }, ends, isBackward);
      }
      default:
        return impossible(reply);
    }
  }

  publications(topic: Topic, position: Position | null, run: Run, emit: (frame: Frame) => void): void {
    const writer = this.#writer;
    let itemsInFrame = 0;
    let itemsBefore = 0;
    const finish = (): void => {
      writer.ascii(']}');
      emit(writer.view() as Frame);
      itemsBefore += itemsInFrame;
      itemsInFrame = 0;
    };
    forEachItem(run, (payload) => {
      if (itemsInFrame > 0) {
        const before = writer.length;
        writer.ascii(',');
        writeItemAsJson(writer, payload);
        itemsInFrame++;
        if (writer.length <= maxRunBytes) return;
        // The length of a run was measured as MessagePack, and JSON can be longer. So the length is known only now:
        // take the item back and begin a new frame with it.
        writer.length = before;
        itemsInFrame--;
        finish();
      }
      writeHead(writer, topic, position, itemsBefore);
      writeItemAsJson(writer, payload);
      itemsInFrame = 1;
    });
    if (itemsInFrame > 0) finish();
  }

  gap(topic: Topic, position: Position | null): Frame {
    return JSON.stringify({ type: 'gap', topic, ...position }) as unknown as Frame;
  }

  reset(topic: Topic, position: Position): Frame {
    return JSON.stringify({ type: 'reset', topic, ...position }) as unknown as Frame;
  }

  goaway(delayMs: number): Frame {
    return JSON.stringify({ type: 'goaway', delayMs }) as unknown as Frame;
  }

  /**
   * Writes publications into `#items` while they fit into `most` bytes, but at least `least` of them. With
   * `isBackward`, it begins with the last one. Returns the end of each, with a 0 before them.
   */
  #writeItems(run: Run, most: number, least: number, isBackward: boolean): number[] {
    const payloads: KeyedPayload[] = [];
    forEachItem(run, (payload) => payloads.push(payload));
    if (isBackward) payloads.reverse();
    const items = this.#items;
    items.clear();
    const ends = [0];
    for (const payload of payloads) {
      const before = items.length;
      items.byte(0x2c);
      writeItemAsJson(items, payload);
      if (items.length > most && ends.length > least) {
        items.undo(before);
        break;
      }
      ends.push(items.length);
    }
    // Data that is longer as MessagePack was decoded and kept in that form.
    this.replyWork = Math.max(run.bytes.length, items.length + items.extra);
    return ends;
  }

  /** A reply with what {@link #writeItems} has written. */
  #withItems(head: object, ends: readonly number[], isBackward: boolean): Frame {
    const writer = this.#writer;
    writer.clear();
    writer.text(JSON.stringify(head));
    writer.length--;
    writer.ascii(',"publications":[');
    const items = this.#items.view();
    const end = ends.at(-1) as number;
    if (!isBackward) {
      if (end > 0) writer.copy(items, 1, end);
    } else {
      for (let index = ends.length - 1; index > 0; index--) {
        writer.copy(items, (ends[index - 1] as number) + (index === ends.length - 1 ? 1 : 0), ends[index]);
      }
    }
    writer.ascii(']}');
    return writer.view() as Frame;
  }
}

function writeHead(writer: JsonWriter, topic: Topic, position: Position | null, itemsBefore: number): void {
  writer.clear();
  writer.ascii('{"type":"publications","topic":"');
  writer.ascii(topic);
  if (position === null) writer.ascii('","items":[');
  else writer.ascii(`","epoch":"${position.epoch}","offset":${position.offset + itemsBefore},"items":[`);
}

function writeItemAsJson(writer: JsonWriter, payload: KeyedPayload): void {
  const before = writer.length;
  writer.ascii('{"data":');
  if (payload.encoding === 'json') writer.copy(payload.bytes, payload.start, payload.end);
  else if (!writeAsJson(writer, payload)) {
    writer.length = before;
    writer.ascii('{"error":"undecodable"');
  }
  if (payload.key !== null) writer.ascii(keyMembers(payload.key, payload.remove));
  writer.ascii('}');
}

/** The members of a publication with a key, as JSON with a comma before them. */
export function keyMembers(key: string, remove: boolean): string {
  return `,"key":${JSON.stringify(key)}${remove ? ',"remove":true' : ''}`;
}

function decodeCommand(fields: Fields, frame: Uint8Array, span: Span | null): Command | CommandError {
  const { type, id: rawId } = fields;
  const id = rawId === undefined || rawId === null ? null : rawId;
  if (id !== null && !isCommandId(id)) {
    return new CommandError(null, 'malformed', `"id" must be an integer from 1 to ${maxCommandId}, not ${kindOf(id)}.`);
  }
  const malformed = (message: string): CommandError => new CommandError(id, 'malformed', message);
  switch (type) {
    case 'publish': {
      const topic = decodeTopic(fields, id);
      if (topic instanceof CommandError) return topic;
      const messageId = fields['messageId'] ?? null;
      if (messageId !== null && !(typeof messageId === 'string' && isMessageId(messageId))) {
        return malformed(`"messageId" must be 1 to ${maxMessageIdBytes} characters of printable ASCII.`);
      }
      const repeat = fields['repeat'] ?? false;
      if (typeof repeat !== 'boolean') return malformed('"repeat" must be true or false.');
      const key = fields['key'] ?? null;
      if (key !== null && !(typeof key === 'string' && isKey(key))) {
        return malformed(`"key" must be 1 to ${maxKeyBytes} characters of printable ASCII without spaces.`);
      }
      const remove = fields['remove'] ?? false;
      if (typeof remove !== 'boolean') return malformed('"remove" must be true or false.');
      if (remove && key === null) return malformed(removeRule);
      if (span === null) return malformed('A publish needs "data".');
      if (span.depth > maxDataDepth) return malformed(`"data" is nested deeper than ${maxDataDepth} levels.`);
      const { start, end } = span;
      return { type, id, topic, messageId, repeat, key, remove, encoding: 'json', bytes: frame, start, end };
    }
    case 'subscribe': {
      const topic = decodeTopic(fields, id);
      if (topic instanceof CommandError) return topic;
      const since = decodeSince(fields['since']);
      if (since === 'wrong') return malformed(sinceRule);
      return { type, id, topic, since };
    }
    case 'unsubscribe': {
      const topic = decodeTopic(fields, id);
      return topic instanceof CommandError ? topic : { type, id, topic };
    }
    case 'history': {
      const topic = decodeTopic(fields, id);
      if (topic instanceof CommandError) return topic;
      const since = decodeSince(fields['since']);
      if (since === 'wrong') return malformed(sinceRule);
      const limit = fields['limit'] ?? null;
      if (limit !== null && !isIntegerUpTo(maxHistoryLimit, limit)) {
        return malformed(`"limit" must be an integer from 1 to ${maxHistoryLimit}.`);
      }
      const direction = historyDirections.find((known) => known === fields['direction']) ?? null;
      if (direction === null && (fields['direction'] ?? null) !== null) {
        return malformed('"direction" must be "forward" or "backward".');
      }
      return { type, id, topic, since, limit, direction };
    }
    case 'refresh': {
      const { token } = fields;
      return isTokenField(token) ? { type, id, token } : malformed(tokenRule);
    }
    case 'ping':
      return { type, id };
    case 'connect': {
      const token = fields['token'] ?? null;
      return token === null || isTokenField(token) ? { type, id, token } : malformed(tokenRule);
    }
    default:
      if (typeof type !== 'string') return malformed('A command needs a "type".');
      return new CommandError(
        id,
        'unknownCommand',
        `Protocol version 1 has no command ${JSON.stringify(type.slice(0, 64))}.`,
      );
  }
}

const tokenRule = `"token" must be a string of at most ${maxTokenBytes} bytes.`;

function isTokenField(token: unknown): token is string {
  return typeof token === 'string' && isToken(token);
}

function decodeTopic(fields: Fields, id: CommandId): Topic | CommandError {
  const text = fields['topic'];
  if (typeof text !== 'string') return new CommandError(id, 'malformed', '"topic" must be a string.');
  return parseTopic(text) ?? new CommandError(id, 'invalidTopic', explainInvalidTopic(text));
}

const sinceRule = '"since" must be {"epoch": "…", "offset": n}, as received in a reply or a push.';

function decodeSince(since: unknown): Position | null | 'wrong' {
  if (since === undefined || since === null) return null;
  if (!isFields(since)) return 'wrong';
  const { epoch, offset } = since;
  if (typeof epoch !== 'string' || !isEpoch(epoch)) return 'wrong';
  if (typeof offset !== 'number' || !Number.isSafeInteger(offset) || offset < 0) return 'wrong';
  return { epoch, offset };
}

function isCommandId(id: unknown): id is number {
  return isIntegerUpTo(maxCommandId, id);
}

function isIntegerUpTo(most: number, value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= most;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number') return String(value);
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
