/** The topics that a node listens to, where the test decides when Redis' answers come. */
import type { Position } from '@fanfare/protocol';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { Metrics } from '../src/observe/metrics.js';
import { parseGeneration } from '../src/relay/generation.js';
import { HistoryReader } from '../src/relay/history-reader.js';
import { Keys } from '../src/relay/keys.js';
import { Lines } from '../src/relay/lines.js';
import { encodeEntry } from '../src/relay/stream-entry.js';
import { TopicPolicies } from '../src/topics/policy.js';
import { RecordedDelivery, topic } from './relay.contract.js';

const epoch = '1700000000000000';
const entry = encodeEntry({ count: 1, bytes: Buffer.from([0xa1, 0x31]) }, new Map());
const idOf = (offset: number): Buffer => Buffer.from(`${epoch}-${offset}`);
const at = (offset: number): Position => ({ epoch, offset });

it('a subscriber that has seen more than a read that is on the way gets the position of a later read', async () => {
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
    new Keys('fanfare', 0),
    new TopicPolicies(),
  );
  const settings = { topics: new TopicPolicies(), recentBytes: 1_000_000 };
  const delivery = new RecordedDelivery();
  const lines = new Lines(settings, reader, delivery, pino({ level: 'silent' }), new Metrics().counters);
  const t = topic('t');
  await lines.open(t, null);
  expect(lines.standing(t, null).position).toEqual(at(1));

  let letGo: () => void = () => undefined;
  answering = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  offset = 2;
  lines.onBeacon(t, at(2));
  offset = 3;
  const opened = lines.open(t, at(3));
  letGo();
  await opened;
  expect(lines.standing(t, at(3))).toMatchObject({ position: at(3), recovered: true });
  expect(delivery.offsets.get(t)).toEqual([2, 3]);
  lines.close();
});
