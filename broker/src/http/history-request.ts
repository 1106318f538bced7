/** `GET /v1/topics/{topic}/publications`: one page of the history of a topic. */
import {
  emptyRun,
  forEachItem,
  type History,
  historyDirections,
  JsonWriter,
  type KeyedPayload,
  keyMembers,
  maxHistoryLimit,
  maxReplyBytes,
  type OutgoingReply,
  type Position,
  parsePositionText,
  positionText,
  ReplyError,
  type Topic,
  writeAsJson,
} from '@fanfare/protocol';
import { type Exchange, notStored, ok } from './exchange.js';
import { callerOf, type HttpContext, identify, type Sender, type SenderReader } from './http-context.js';
import { Problem, problemOf } from './problem.js';
import { topicOf } from './publish-request.js';
import { Query } from './query.js';
import type { ReplyReader } from './request-caller.js';

/** Longest time that a request waits for a publication, in seconds. Below the idle timeouts of usual proxies. */
export const maxWaitSeconds = 55;

/** What a request for history asks for. */
export interface HistoryQuery {
  readonly topic: Topic;
  /** `now`: after the newest publication. Null: from the oldest, or backward from the newest. */
  readonly since: Position | 'now' | null;
  readonly limit: number | null;
  readonly direction: History['direction'];
  /** How long to wait for a publication, in seconds; null: not at all. */
  readonly wait: number | null;
}

type HistoryPage = OutgoingReply & { readonly type: 'history' };

/** The header with the `since` of the next request. */
export const positionHeader = 'Fanfare-Position';

/** Throws Problem. */
export function readHistoryQuery(exchange: Pick<Exchange, 'parameter' | 'query'>): HistoryQuery {
  const topic = topicOf(exchange);
  const query = new Query(exchange.query, ['since', 'limit', 'direction', 'wait']);
  const since = sinceOf(query.text('since'));
  const limit = query.integer('limit', 1, maxHistoryLimit);
  const direction = query.word('direction', historyDirections);
  const wait = query.integer('wait', 1, maxWaitSeconds);
  if (wait !== null && direction === 'backward') {
    throw new Problem(
      'malformed',
      'wait cannot be combined with direction=backward: new publications come after since.',
    );
  }
  return { topic, since, limit, direction, wait };
}

function sinceOf(text: string | null): HistoryQuery['since'] {
  if (text === null || text === 'now') return text;
  const position = parsePositionText(text);
  if (position !== null && position !== 'wrong') return position;
  throw new Problem(
    'malformed',
    `since must be "now" or a position such as 1764563000000000-42: "next" or ${positionHeader} of an earlier answer.`,
  );
}

/** Answers with one page, at once. */
export function onHistory(exchange: Exchange, context: HttpContext, query: HistoryQuery): void {
  identify(exchange, context, new HistoryRequest(exchange, context, query));
}

class HistoryRequest implements SenderReader, ReplyReader {
  constructor(
    private readonly exchange: Exchange,
    private readonly context: HttpContext,
    private readonly query: HistoryQuery,
  ) {}

  onSender(sender: Sender): void {
    const { topic, since, limit, direction } = this.query;
    const caller = callerOf(sender, this.context, this);
    const command = { type: 'history', id: 1, topic } as const;
    // The position of the newest publication is in each page.
    if (since === 'now') caller.submit({ ...command, since: null, limit: 1, direction: 'backward' });
    else caller.submit({ ...command, since, limit, direction });
  }

  onReply(reply: OutgoingReply): void {
    if (reply.type === 'history') {
      const { since } = this.query;
      if (since === null) return answerPage(this.exchange, { ...reply, recovered: isComplete(reply) });
      return answerPage(this.exchange, since === 'now' ? { ...reply, ...nothingYet } : reply);
    }
    if (reply.type !== 'error') return;
    this.exchange.refuse(problemOf(new ReplyError(reply.code, reply.message, reply.retryAfterMs), false));
  }
}

/** Whether a page that was asked for without `since` lacks nothing at its beginning, or backward at its end. */
function isComplete({ direction, first, position }: HistoryPage): boolean {
  return direction === 'backward' || (first === null ? position.offset === 0 : first === 1);
}

/** The page after the newest publication. */
const nothingYet = { recovered: true, first: null, publications: emptyRun, direction: 'forward' } as const;

export function answerPage(exchange: Exchange, page: HistoryPage): void {
  const { topic, position, recovered } = page;
  const { items, skipped } = itemsOf(page);
  const start = (page.first ?? 0) + skipped;
  const publications = items.map((item, index) => `{"offset":${start + index},${item}}`);
  const next = nextOf(page, items.length === 0 ? null : start, items.length);
  const head = `"topic":"${topic}","epoch":"${position.epoch}","offset":${position.offset},"recovered":${recovered}`;
  const body = `{${head},"publications":[${publications.join(',')}],"next":${JSON.stringify(next)}}`;
  exchange.answer(ok, body, next === null ? notStored : { ...notStored, [positionHeader]: next });
}

/**
 * Where the next page begins; null if nothing is left backward. `first`: the offset of the first of `count`
 * publications in the answer.
 */
function nextOf({ position, direction }: HistoryPage, first: number | null, count: number): string | null {
  const { epoch } = position;
  if (direction === 'backward') return first === null ? null : positionText({ epoch, offset: first });
  return positionText(first === null ? position : { epoch, offset: first + count - 1 });
}

/** The JSON members of each publication, as many as an answer may have. `skipped`: how many before them are left out. */
function itemsOf({ publications, direction }: HistoryPage): { readonly items: string[]; readonly skipped: number } {
  const payloads: KeyedPayload[] = [];
  forEachItem(publications, (payload) => payloads.push(payload));
  const isBackward = direction === 'backward';
  if (isBackward) payloads.reverse();
  const writer = new JsonWriter(4_096);
  const items: string[] = [];
  let bytes = 0;
  for (const payload of payloads) {
    writer.clear();
    writer.ascii('"data":');
    if (payload.encoding === 'json') writer.copy(payload.bytes, payload.start, payload.end);
    else if (!writeAsJson(writer, payload)) {
      writer.clear();
      writer.ascii('"error":"undecodable"');
    }
    if (payload.key !== null) writer.ascii(keyMembers(payload.key, payload.remove));
    bytes += writer.length;
    if (bytes > maxReplyBytes && items.length > 0) break;
    items.push(Buffer.from(writer.view()).toString('utf8'));
  }
  if (isBackward) items.reverse();
  return { items, skipped: isBackward ? payloads.length - items.length : 0 };
}
