/** The line that `npm run verify -- --append` adds to a file for each fault. */
import { expect, it } from 'vitest';
import { noFindings } from '../src/checker/findings.js';
import type { FaultRunOptions, FaultRunResult } from '../src/fault-run/fault-run.js';
import { recordOf } from '../src/fault-run/run-record.js';

const options: FaultRunOptions = {
  rate: 2_000,
  topics: 200,
  publishersPerTopic: 1,
  subscribers: 300,
  topicsPerSubscriber: 1,
  bytes: 100,
  nodes: 3,
  redis: 'sentinel-shards',
  level: 'durable',
  transports: ['websocket'],
  seconds: 20,
  clients: null,
  maxWaitMs: 1_000,
};

const deliveries = { count: 9, p50Ms: 1, p99Ms: 2.4, maxMs: 3 };
const latency = { before: deliveries, during: { ...deliveries, p99Ms: 17.6 }, after: deliveries };

const result: FaultRunResult = {
  fault: 'master-killed',
  isGood: true,
  reasons: [],
  faultMs: 1,
  detection: null,
  published: { published: 12, acknowledged: 9, refused: 2, unknown: 1 },
  heldBack: 0,
  rejections: {},
  findings: { ...noFindings(), delivered: 18, silentGaps: 1, silentResets: 2, outOfOrder: 3, disagreements: 4 },
  reconnects: 0,
  repair: { caughtUpMs: null, servedMs: null },
  latency,
  unaffected: { topics: 5, latency, longestWaitMs: 40.2, failed: 0 },
  notes: ['A replica took over after 9 ms.'],
};

it('has what was run, what was found, and the delays of topics that the fault must not affect', () => {
  expect(recordOf(result, options)).toEqual({
    fault: 'master-killed',
    redis: 'sentinel-shards',
    level: 'durable',
    transports: ['websocket'],
    rate: 2_000,
    verdict: 'good',
    acknowledged: 9,
    refused: 2,
    unknown: 1,
    delivered: 18,
    lost: 0,
    duplicated: 0,
    reordered: 7,
    unreported: 3,
    gaps: 0,
    resets: 0,
    notes: ['A replica took over after 9 ms.'],
    others: { p99BeforeMs: 2, p99DuringMs: 18, longestWaitMs: 40 },
  });
});

it('has the reasons of a bad verdict, and no delays if the fault may affect all topics', () => {
  const bad = { ...result, isGood: false, reasons: ['1 lost', '2 gap events'], unaffected: null };
  expect(recordOf(bad, options)).toMatchObject({ verdict: '1 lost; 2 gap events', others: null });
});
