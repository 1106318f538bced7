/** `POST /v1/publications`: publishes several items, in order. */
import { STATUS_CODES } from 'node:http';
import {
  batchSpans,
  dataSpans,
  explainInvalidTopic,
  httpStatusOf,
  isMessageId,
  maxDataDepth,
  maxMessageIdBytes,
  type OutgoingReply,
  type Publish,
  parseTopic,
  ReplyError,
  type Span,
  type Topic,
} from '@fanfare/protocol';
import { explainUnknown } from '../files/nearest.js';
import { BodyRequest } from './body-request.js';
import { type Exchange, ok } from './exchange.js';
import { callerOf, type HttpContext, type Sender } from './http-context.js';
import { Problem, problemOf } from './problem.js';
import {
  acceptedText,
  failedResult,
  mediaTypeOf,
  newMessageId,
  parseJson,
  readKey,
  shownType,
  tooDeep,
} from './publication.js';

/** Longest body, in bytes. */
export const maxBatchBytes = 1_048_576;

/** The maximum number of publications of a batch; an item for several topics counts once for each. */
export const maxBatchPublications = 1_000;

/** Bytes of the data of all publications; an item for several topics counts once for each. */
export const maxBatchDataBytes = 4_194_304;

/** The maximum number of topics of one item. */
export const maxItemTopics = 100;

const itemMembers = ['topic', 'topics', 'data', 'messageId', 'key', 'remove'] as const;

/** One publication of a batch, before it is carried out. Its data is in the body. */
interface Item extends Pick<Publish, 'key' | 'remove'> {
  readonly topic: Topic;
  readonly messageId: string | null;
  readonly start: number;
  readonly end: number;
}

export function onBatch(exchange: Exchange, context: HttpContext): void {
  const mediaType = mediaTypeOf(exchange.header('content-type'));
  const read = mediaType === 'application/json' ? readObject : mediaType === 'application/x-ndjson' ? readLines : null;
  if (read === null) {
    const sentence = `${shownType(exchange.header('content-type'))} A batch is application/json or application/x-ndjson.`;
    throw new Problem('unsupportedMediaType', sentence);
  }
  if (exchange.header('idempotency-key') !== '') {
    throw new Problem('malformed', 'Idempotency-Key is for one publication. Give each item of a batch a messageId.');
  }
  new BatchRequest(exchange, context, read).receive(maxBatchBytes);
}

type Outcome = Extract<OutgoingReply, { readonly type: 'published' | 'error' }>;

class BatchRequest extends BodyRequest {
  #items: readonly Item[] = [];
  #messageIds: readonly (string | null)[] = [];
  /** The reply to each item. */
  readonly #replies: Outcome[] = [];
  #left = 0;

  /** `read`: makes items of a body. */
  constructor(
    exchange: Exchange,
    context: HttpContext,
    private readonly read: (body: Uint8Array, maxDataBytes: number) => readonly Item[],
  ) {
    super(exchange, context);
  }

  protected override carryOut(body: Uint8Array, sender: Sender): void {
    const { relay } = this.context.parts;
    this.#items = this.read(body, this.context.maxFrameBytes);
    this.#left = this.#items.length;
    if (this.#left === 0) return this.#answer();
    this.#messageIds = this.#items.map(
      ({ topic, messageId }) => messageId ?? (relay.hasHistory(topic) ? newMessageId() : null),
    );
    const caller = callerOf(sender, this.context, this);
    for (const [index, { topic, key, remove, start, end }] of this.#items.entries()) {
      const messageId = this.#messageIds[index] ?? null;
      const payload = { key, remove, encoding: 'json', bytes: body, start, end } as const;
      const command: Publish = { type: 'publish', id: index + 1, topic, messageId, repeat: false, ...payload };
      caller.submit(command);
    }
  }

  override onReply(reply: OutgoingReply): void {
    if ((reply.type !== 'published' && reply.type !== 'error') || reply.id === null) return;
    this.#replies[reply.id - 1] = reply;
    if (--this.#left === 0) this.#answer();
  }

  #answer(): void {
    const statuses = new Set<number>();
    let failed: (OutgoingReply & { type: 'error' }) | null = null;
    const results = this.#items.map(({ topic }, index) => {
      const reply = this.#replies[index] as Outcome;
      const messageId = this.#messageIds[index] ?? null;
      if (reply.type === 'published') {
        statuses.add(200);
        return `{${acceptedText(topic, messageId, reply)},"status":200}`;
      }
      failed ??= reply;
      const status = httpStatusOf(reply.code);
      statuses.add(status);
      return JSON.stringify(failedResult(topic, messageId, reply, status));
    });
    const text = `"results":[${results.join(',')}]`;
    if (failed === null) return this.exchange.answer(ok, `{${text}}`);
    // Nothing was accepted, and all for the same reason: a client that only looks at the status learns that.
    if (statuses.size === 1) return this.exchange.refuse(noneAccepted(failed, text));
    this.exchange.answer(`207 ${STATUS_CODES[207]}`, `{${text}}`);
  }
}

/** `results`: JSON text of a member. */
function noneAccepted({ code, message, retryAfterMs }: OutgoingReply & { type: 'error' }, results: string): Problem {
  const { message: detail, details } = problemOf(new ReplyError(code, message, retryAfterMs), true);
  return new Problem(code, `Nothing of the batch was accepted. ${detail}`, {
    ...details,
    members: JSON.parse(`{${results}}`) as Record<string, unknown>,
  });
}

/** `{"publications":[…]}`. Throws Problem. */
export function readObject(body: Uint8Array, maxDataBytes: number): readonly Item[] {
  const batch = parseJson(body);
  const wrong = 'The body must be {"publications":[{"topic":"…","data":…}]}.';
  if (typeof batch !== 'object' || batch === null || Array.isArray(batch)) throw new Problem('malformed', wrong);
  const { publications, ...others } = batch as Record<string, unknown>;
  if (!Array.isArray(publications)) throw new Problem('malformed', wrong);
  const [unknown] = Object.keys(others);
  if (unknown !== undefined)
    throw new Problem('malformed', `The body has an unknown member ${JSON.stringify(unknown.slice(0, 64))}. ${wrong}`);
  const spans = batchSpans(body);
  const list = new ItemList(maxDataBytes);
  for (const [index, fields] of (publications as readonly unknown[]).entries())
    list.add(`publications[${index}]`, fields, spans[index] ?? null);
  return list.items;
}

const lineFeed = 0x0a;

/** One item per line; empty lines are skipped. Throws Problem. */
export function readLines(body: Uint8Array, maxDataBytes: number): readonly Item[] {
  const list = new ItemList(maxDataBytes);
  let line = 1;
  let start = 0;
  for (let at = 0; at < body.length; at++) {
    const byte = body[at] as number;
    if (byte === lineFeed) {
      line++;
      start = at + 1;
    } else if (byte > 0x20) {
      const next = body.indexOf(lineFeed, at);
      const end = next < 0 ? body.length : next;
      const text = body.subarray(start, end);
      const fields = parseJson(text, `Line ${line}`);
      const [span = null] = dataSpans(text);
      list.add(`Line ${line}`, fields, span && { ...span, start: start + span.start, end: start + span.end });
      at = end - 1;
    }
  }
  if (list.items.length === 0) throw new Problem('malformed', 'The body has no item. Write one per line.');
  return list.items;
}

/** The publications of a batch. */
class ItemList {
  readonly items: Item[] = [];
  #dataBytes = 0;

  constructor(private readonly maxDataBytes: number) {}

  /** Adds the publications of one item. `place` begins the sentence if something is wrong. Throws Problem. */
  add(place: string, fields: unknown, span: Span | null): void {
    const malformed = (rule: string): Problem => new Problem('malformed', `${place} ${rule}`);
    if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
      throw malformed('must be an object such as {"topic":"…","data":…}.');
    }
    const { topic, topics, messageId = null, ...rest } = fields as Record<string, unknown>;
    for (const name of Object.keys(fields)) {
      if ((itemMembers as readonly string[]).includes(name)) continue;
      throw malformed(
        `has the unknown member ${JSON.stringify(name.slice(0, 64))}; ${explainUnknown(name, itemMembers)}`,
      );
    }
    if ((topic === undefined) === (topics === undefined)) throw malformed('must have either "topic" or "topics".');
    const names: readonly unknown[] = topics === undefined ? [topic] : Array.isArray(topics) ? topics : [];
    if (names.length === 0 || names.length > maxItemTopics) {
      throw malformed(`must have "topics" that is an array of 1 to ${maxItemTopics} topics.`);
    }
    if (new Set(names).size < names.length) throw malformed('names a topic twice.');
    if (messageId !== null && !(typeof messageId === 'string' && isMessageId(messageId))) {
      throw malformed(
        `has a messageId that is not 1 to ${maxMessageIdBytes} characters of printable ASCII without spaces.`,
      );
    }
    const { key, remove } = readKey(`${place}: `, rest['key'], rest['remove']);
    if (span === null) throw malformed('needs "data".');
    const { start, end, depth } = span;
    if (depth > maxDataDepth) throw tooDeep(`The data of ${place.replace(/^L/, 'l')}`);
    if (end - start > this.maxDataBytes)
      throw new Problem('contentTooLarge', `${place} has data of more than ${this.maxDataBytes} bytes.`);
    this.#dataBytes += (end - start) * names.length;
    if (this.#dataBytes > maxBatchDataBytes) {
      throw new Problem(
        'contentTooLarge',
        `The data of all publications is longer than ${maxBatchDataBytes} bytes. Send several batches.`,
      );
    }
    for (const name of names) {
      if (typeof name !== 'string') throw malformed('has a topic that is not a string.');
      const parsed = parseTopic(name);
      if (parsed === null) throw new Problem('invalidTopic', `${place}: ${explainInvalidTopic(name)}`);
      this.items.push({ topic: parsed, messageId, key, remove, start, end });
    }
    if (this.items.length > maxBatchPublications) {
      throw new Problem('contentTooLarge', `The batch has more than ${maxBatchPublications} publications.`);
    }
  }
}
