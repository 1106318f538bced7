/**
 * Short versions of faults of the checker; `npm run verify` causes them under load. test/faults.test.ts has the faults
 * that belong to the tests of the product.
 */
import { describe, it } from 'vitest';
import { hasCompiler } from '../src/cluster/fake-clock.js';
import type { Fault } from '../src/faults/fault.js';
import { faults } from '../src/faults/index.js';
import { expectNoLoss, findFault } from './short-fault-run.js';

const ofProduct = [
  'kill-node',
  'pause-node',
  'flushall-in-rolling-restart',
  'redis-hang',
  'redis-failover-behind',
  'master-killed',
  'large-slot-moved',
  'shard-hung',
];

/** Faults that concern Redis in different ways, and that are possible with more than one server. */
const withOtherPlacements = [
  'kill-node',
  'redis-flushall',
  'redis-restart-empty',
  'redis-link-half-open',
  'kill-pubsub',
  'planned-failover',
  'redis-hang',
  'master-killed',
  'shard-added',
  'shard-removed',
];

const timeoutMs = 300_000;

describe.concurrent('nothing is lost, duplicated, out of order or missing without notice', () => {
  const movesClock = ({ clockAheadSeconds }: Fault): boolean => clockAheadSeconds !== undefined;
  const others = faults.filter(({ name }) => !ofProduct.includes(name));
  const named = (some: readonly Fault[]) => some.map((fault) => [fault.name, fault] as const);
  const check = (_: string, fault: Fault): Promise<void> => expectNoLoss(fault);

  it.each(named(others.filter((fault) => !movesClock(fault))))('with fault %s', check, timeoutMs);

  // The library that moves the clock must be compiled first.
  it.skipIf(!hasCompiler()).each(named(others.filter(movesClock)))('with fault %s', check, timeoutMs);

  describe.each(['sentinel', 'shards', 'sentinel-shards', 'cluster'] as const)('with --redis %s', (redis) => {
    const possible = withOtherPlacements.map(findFault).filter(({ placements }) => placements.indexOf(redis) > 0);
    it.each(named(possible))('with fault %s', (_, fault) => expectNoLoss(fault, { redis }), timeoutMs);
  });
});
