/** The memory of recent publications: the process uses no more than the budget counts. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Writer } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { decodeEntry, encodeEntry, type StreamEntry } from '../src/relay/stream-entry.js';
import { CacheBudget, TopicCache } from '../src/relay/topic-cache.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes in use, without garbage. */
function usedBytes(): number {
  collect();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function entryAt(offset: number, length: number): StreamEntry {
  const writer = new Writer();
  writer.str('x'.repeat(length));
  const bytes = encodeEntry({ count: 1, bytes: writer.toBytes(), hasKeys: false }, new Map());
  return decodeEntry({ epoch: '1', offset }, bytes) as StreamEntry;
}

describe('the budget of recent publications', () => {
  it('counts the last answer to returning subscribers, and frees it with the next publication', () => {
    const budget = new CacheBudget(Number.POSITIVE_INFINITY);
    const cache = new TopicCache(budget, 10_000);
    for (let offset = 1; offset <= 20; offset++) cache.append(entryAt(offset, 100));
    const before = cache.bytes;
    const answer = cache.between(2, 20);
    expect(cache.bytes - before).toBe(answer?.bytes.length);
    expect(budget.bytes).toBe(cache.bytes);
    expect(cache.between(2, 20)).toBe(answer);
    cache.append(entryAt(21, 100));
    expect(cache.bytes - before).toBeLessThan(1_000);
    cache.clear();
    expect(budget.bytes).toBe(0);
  });

  it.each([
    ['one short publication in each of many topics', 10_000, 1, 20],
    ['one long publication in each of many topics', 10_000, 1, 1_000],
    ['some publications in each topic', 2_000, 10, 100],
    ['many publications in few topics', 50, 500, 100],
  ])('counts the real memory of %s', (_, topics, publications, length) => {
    const budget = new CacheBudget(Number.POSITIVE_INFINITY);
    const caches = Array.from({ length: topics }, () => new TopicCache(budget, 10_000));
    const before = usedBytes();
    for (let offset = 1; offset <= publications; offset++)
      for (const cache of caches) cache.append(entryAt(offset, length));
    const used = usedBytes() - before;
    expect(caches.every(({ newest }) => newest?.last === publications)).toBe(true);
    // Not compared from below: the process may free memory of earlier tests meanwhile.
    expect(used / budget.bytes).toBeLessThan(1.2);
  });
});
