/**
 * Short versions of faults of the checker; `npm run verify` causes them under load. test/faults.test.ts has the faults that belong to the
 * tests of the product.
 */
import { describe, expect, it } from 'vitest';
import { hasCompiler } from '../src/cluster/fake-clock.js';
import { type FaultRunOptions, runFault } from '../src/fault-run/fault-run.js';
import type { Fault } from '../src/faults/fault.js';
import { faults } from '../src/faults/index.js';

const options: FaultRunOptions = {
  rate: 100,
  topics: 10,
  publishersPerTopic: 1,
  subscribers: 6,
  topicsPerSubscriber: 2,
  bytes: 100,
  nodes: 2,
  level: 'recoverable',
  seconds: 2,
  clients: 30,
};

const ofProduct = ['kill-node', 'pause-node', 'flushall-in-rolling-restart', 'redis-hang', 'redis-failover-behind'];

describe.concurrent('nothing is lost, duplicated, out of order or missing without notice', () => {
  const check = async (_: string, fault: Fault): Promise<void> => {
    const { reasons, findings, published } = await runFault(fault, options, () => {});
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
  };
  const movesClock = ({ clockAheadSeconds }: Fault): boolean => clockAheadSeconds !== undefined;
  const others = faults.filter(({ name }) => !ofProduct.includes(name));
  const named = (some: readonly Fault[]) => some.map((fault) => [fault.name, fault] as const);

  it.each(named(others.filter((fault) => !movesClock(fault))))('with fault %s', check, 300_000);

  // The library that moves the clock must be compiled first.
  it.skipIf(!hasCompiler()).each(named(others.filter(movesClock)))('with fault %s', check, 300_000);
});
