/**
 * Short versions of faults of the checker; `npm run verify` causes them under load. test/faults.test.ts has the faults
 * that belong to the tests of the product.
 */
import { describe, it } from 'vitest';
import { hasCompiler } from '../src/cluster/fake-clock.js';
import type { Fault } from '../src/faults/fault.js';
import { faults } from '../src/faults/index.js';
import { expectNoLoss } from './short-fault-run.js';

const ofProduct = ['kill-node', 'pause-node', 'flushall-in-rolling-restart', 'redis-hang', 'redis-failover-behind'];

describe.concurrent('nothing is lost, duplicated, out of order or missing without notice', () => {
  const movesClock = ({ clockAheadSeconds }: Fault): boolean => clockAheadSeconds !== undefined;
  const others = faults.filter(({ name }) => !ofProduct.includes(name));
  const named = (some: readonly Fault[]) => some.map((fault) => [fault.name, fault] as const);
  const check = (_: string, fault: Fault): Promise<void> => expectNoLoss(fault);

  it.each(named(others.filter((fault) => !movesClock(fault))))('with fault %s', check, 300_000);

  // The library that moves the clock must be compiled first.
  it.skipIf(!hasCompiler()).each(named(others.filter(movesClock)))('with fault %s', check, 300_000);
});
