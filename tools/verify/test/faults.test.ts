/** Every fault that the checker knows, in a short form: `npm run verify` runs them long and under load. */
import { describe, expect, it } from 'vitest';
import { hasCompiler } from '../src/cluster/fake-clock.js';
import { type FaultRunOptions, runFault } from '../src/fault-run/fault-run.js';
import type { Fault } from '../src/faults/fault.js';
import { faults } from '../src/faults/index.js';

const options: FaultRunOptions = {
  rate: 100,
  topics: 10,
  publishersPerTopic: 1,
  subscribers: 12,
  topicsPerSubscriber: 2,
  bytes: 100,
  nodes: 3,
  level: 'recoverable',
  seconds: 2,
  clients: 30,
};

// Side by side: they mostly wait.
describe.concurrent('nothing is lost, doubled, out of order or untold', () => {
  const check = async (_: string, fault: Fault): Promise<void> => {
    const { reasons, findings, published } = await runFault(fault, options, () => {});
    expect(reasons, Object.values(findings.examples).join(' ')).toEqual([]);
    expect(findings).toMatchObject({ lost: 0, duplicates: 0, outOfOrder: 0, corrupt: 0, untoldGaps: 0, toldGaps: 0 });
    expect(published.acknowledged).toBeGreaterThan(0);
  };
  const movesClock = ({ clockAheadSeconds }: Fault): boolean => clockAheadSeconds !== undefined;
  const named = (some: readonly Fault[]) => some.map((fault) => [fault.name, fault] as const);

  it.each(named(faults.filter((fault) => !movesClock(fault))))('with fault %s', check, 300_000);

  // A clock that can be moved has to be compiled.
  it.skipIf(!hasCompiler()).each(named(faults.filter(movesClock)))('with fault %s', check, 300_000);

  it.each(
    named(faults.filter(({ name }) => ['none', 'kill-node', 'redis-failover', 'redis-failover-behind'].includes(name))),
  )(
    'at level durable, with fault %s',
    async (_, fault) => {
      const { reasons, findings, published } = await runFault(fault, { ...options, level: 'durable' }, () => {});
      expect(reasons, Object.values(findings.examples).join(' ')).toEqual([]);
      expect(published.acknowledged).toBeGreaterThan(0);
    },
    300_000,
  );
});
