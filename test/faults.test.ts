/**
 * What users notice when separate processes fail: nodes, and a Redis with replicas and Sentinels. The other faults have tests in
 * broker/test. `npm run test:tools` and `npm run verify -- --fault all` run all of them this way.
 */
import { describe, expect, it } from 'vitest';
import { type FaultRunOptions, runFault } from '../tools/verify/src/fault-run/fault-run.js';
import { faults } from '../tools/verify/src/faults/index.js';

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

describe('nothing is lost, duplicated, out of order or missing without notice', () => {
  it.each([
    ['kill-node', 'recoverable'],
    ['pause-node', 'recoverable'],
    ['flushall-in-rolling-restart', 'recoverable'],
    ['redis-hang', 'recoverable'],
    ['redis-failover-behind', 'recoverable'],
    ['redis-failover-behind', 'durable'],
  ] as const)('with fault %s, at level %s', async (name, level) => {
    const fault = faults.find((each) => each.name === name);
    if (fault === undefined) throw new Error(`There is no fault ${name}.`);
    const { reasons, findings, published } = await runFault(fault, { ...options, level }, () => {});
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
  });
});
