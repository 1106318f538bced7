/** Makes answers from slices of a topic's history. Both relays use it. */
import { emptyRun, type Position, ReplyError, type Topic } from '@fanfare/protocol';
import type { TopicPolicy } from '../topics/policy.js';
import type { HistoryPage, HistoryRequest, SubscribeResult } from './relay.js';
import { fromHole, runOf, type StreamEntry, upToHole } from './stream-entry.js';
import { endOfAnswer, maxAnswerBytes, type TopicCache } from './topic-cache.js';

/** What a new subscriber of a topic without history starts with. */
export const noHistory: SubscribeResult = { position: null, recovered: false, publications: emptyRun };

export function noHistoryError(topic: Topic): ReplyError {
  return new ReplyError('noHistory', `The topic ${topic} keeps no history.`);
}

/** What a new or returning subscriber starts with. */
export function subscribeResultOf(
  cache: TopicCache,
  position: Position,
  since: Position | null,
  { lastValue }: Pick<TopicPolicy, 'lastValue'>,
): SubscribeResult {
  const head = position.offset;
  if (since !== null) {
    const isSame = since.epoch === position.epoch && since.offset <= head;
    const publications = isSame ? cache.between(since.offset + 1, head) : null;
    return { position, recovered: publications !== null, publications: publications ?? emptyRun };
  }
  const last = lastValue && head > 0 ? cache.between(head, head) : null;
  return { position, recovered: false, publications: last ?? emptyRun };
}

/** A page forward. `read`: entries from the wanted offset on. */
export function pageForward(
  position: Position,
  read: readonly StreamEntry[],
  { since, limit }: HistoryRequest,
): HistoryPage {
  const isComparable = since === null || since.epoch === position.epoch;
  const wanted = (since?.offset ?? 0) + 1;
  const entries = upToHole(read.filter(({ last }) => last >= wanted));
  const [oldest] = entries;
  if (!isComparable || oldest === undefined) {
    const recovered = isComparable && since !== null && since.offset === position.offset;
    return { position, recovered, first: null, publications: emptyRun };
  }
  const first = Math.max(oldest.first, wanted);
  const last = Math.min(endOfAnswer(entries, first, limit), position.offset);
  return {
    position,
    recovered: since !== null && first === wanted,
    first,
    publications: runOf(entries, first, last),
  };
}

/** A page backward. `read`: the newest entries up to the wanted offset, in order. */
export function pageBackward(
  position: Position,
  read: readonly StreamEntry[],
  { since, limit }: HistoryRequest,
): HistoryPage {
  const isComparable = since === null || since.epoch === position.epoch;
  const wanted = since === null ? position.offset : since.offset - 1;
  const entries = fromHole(read.filter(({ first }) => first <= wanted));
  const newest = entries.at(-1);
  if (!isComparable || newest === undefined || wanted < 1 || (entries[0] as StreamEntry).first > wanted) {
    return { position, recovered: isComparable && since !== null && wanted === 0, first: null, publications: emptyRun };
  }
  const last = Math.min(newest.last, wanted);
  let first = last + 1;
  let bytes = 0;
  for (const entry of entries.toReversed()) {
    if (entry.first > last) continue;
    bytes += entry.run.bytes.length;
    if (first <= last && (bytes > maxAnswerBytes || last - first + 1 >= limit)) break;
    first = entry.first;
  }
  first = Math.max(first, last - limit + 1);
  return { position, recovered: since !== null && last === wanted, first, publications: runOf(entries, first, last) };
}
