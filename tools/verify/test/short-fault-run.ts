/** A short run of a fault under little load, for tests. `npm run verify` causes faults under more load. */
import type { Level } from '@fanfare/kit/level';
import { expect } from 'vitest';
import { transports } from '../src/checker/checker.js';
import type { Placement } from '../src/cluster/placement.js';
import { type FaultRunOptions, runFault } from '../src/fault-run/fault-run.js';
import type { Fault } from '../src/faults/fault.js';
import { faults } from '../src/faults/index.js';

const options: FaultRunOptions = {
  rate: 40,
  // Enough for each of several Redis.
  topics: 24,
  publishersPerTopic: 1,
  subscribers: 12,
  topicsPerSubscriber: 2,
  bytes: 100,
  nodes: 2,
  redis: 'single',
  level: 'recoverable',
  transports,
  seconds: 2,
  clients: 30,
  // Other tests run at the same time. Faults last until topics on other Redis servers were served.
  maxWaitMs: null,
};

/**
 * Redis loses everything while nodes restart: a topic whose only clients are between two requests is in the memory of no
 * node, and those clients get a gap or a reset (docs/guarantees.md). Clients with a WebSocket lose nothing.
 */
const forgetful = 'flushall-in-rolling-restart';

/**
 * Causes the fault, and expects that subscribers receive everything once and in order, without an event about missing
 * publications. Default: on the first placement of the fault.
 */
export async function expectNoLoss(
  fault: Fault,
  { level = options.level, redis = fault.placements[0] ?? options.redis }: { level?: Level; redis?: Placement } = {},
): Promise<void> {
  const given = fault.name.startsWith(forgetful) ? (['websocket'] as const) : transports;
  const run = { ...options, level, redis, transports: given };
  const { reasons, findings, published } = await runFault(fault, run, () => {});
  expect(reasons, Object.values(findings.examples).join(' ')).toEqual([]);
  expect(findings).toMatchObject({
    lost: 0,
    duplicates: 0,
    outOfOrder: 0,
    corrupt: 0,
    silentGaps: 0,
    reportedGaps: 0,
  });
  expect(published.acknowledged).toBeGreaterThan(0);
}

export function findFault(name: string): Fault {
  const fault = faults.find((each) => each.name === name);
  if (fault === undefined) throw new Error(`There is no fault ${name}.`);
  return fault;
}
