/** The feeds of a node, with a Redis whose answers the test controls. */
import type { Position } from '@fanfare/protocol';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { Metrics } from '../src/observe/metrics.js';
import { parseGeneration } from '../src/relay/generation.js';
import { HistoryReader } from '../src/relay/history-reader.js';
import { Keys } from '../src/relay/keys.js';
import { Partitions } from '../src/relay/partitions.js';
import { SharedTimers } from '../src/relay/shared-timers.js';
import { encodeEntry } from '../src/relay/stream-entry.js';
import { CacheBudget } from '../src/relay/topic-cache.js';
import { TopicFeeds } from '../src/relay/topic-feeds.js';
import { TopicStates } from '../src/relay/topic-state.js';
import { TopicPolicies } from '../src/topics/policy.js';
import { RecordedDelivery, topic } from './relay.contract.js';

const epoch = '1700000000000000';
const entry = encodeEntry({ count: 1, bytes: Buffer.from([0xa1, 0x31]), hasKeys: false }, new Map());
const idOf = (offset: number): Buffer => Buffer.from(`${epoch}-${offset}`);
const at = (offset: number): Position => ({ epoch, offset });

it('a subscriber that is ahead of a pending read gets the position of a later read', async () => {
  let offset = 1;
  let answering: Promise<void> = Promise.resolve();
  const reader = new HistoryReader(
    {
      async evaluate(calls) {
        const from = Number(calls[0]?.args[3]);
        const entries = Array.from({ length: offset + 1 - from }, (_, index) => [
          idOf(from + index),
          [Buffer.of(), entry],
        ]);
        const answer = [idOf(offset), ...entries];
        await answering;
        return [answer];
      },
      load: async () => undefined,
    },
    { generation: parseGeneration('g:0'), onStale: () => undefined },
    new Keys('fanfare', 0, new Partitions(64)),
    new TopicPolicies(),
  );
  const t = topic('t');
  const states = new TopicStates(new TopicPolicies());
  states.getOrCreate(t);
  const delivery = new RecordedDelivery();
  const log = pino({ level: 'silent' });
  const feeds = new TopicFeeds(
    states,
    new CacheBudget(1_000_000),
    reader,
    delivery,
    log,
    new Metrics().counters,
    new SharedTimers(),
  );
  await feeds.open(t, null);
  expect(feeds.subscribeResult(t, null).position).toEqual(at(1));

  let letGo: () => void = () => undefined;
  answering = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  offset = 2;
  states.get(t)?.feed?.onBeacon(at(2));
  offset = 3;
  const opened = feeds.open(t, at(3));
  letGo();
  await opened;
  expect(feeds.subscribeResult(t, at(3))).toMatchObject({ position: at(3), recovered: true });
  expect(delivery.offsets.get(t)).toEqual([2, 3]);
  feeds.close();
});
