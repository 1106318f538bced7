/**
 * What users notice when separate processes fail: nodes, a Redis with replicas and Sentinels, shards, and a Redis
 * Cluster. The other faults have tests in broker/test. `npm run test:tools` and `npm run verify -- --fault all` run all
 * of them this way.
 */
import { describe, it } from 'vitest';
import type { Fault } from '../tools/verify/src/faults/fault.js';
import { expectNoLoss, findFault } from '../tools/verify/test/short-fault-run.js';

/**
 * One fault after the other in one cluster: to start a cluster costs more than most faults. It must suit the first
 * fault.
 */
function inTurn(names: readonly [string, ...string[]]): Fault {
  const all = names.map(findFault);
  const first = findFault(names[0]);
  if (all.length === 1) return first;
  return {
    ...first,
    name: names.join(', then '),
    async strike(environment) {
      for (const fault of all) {
        if (!('strike' in fault)) throw new Error(`${fault.name} must be prepared before the load begins.`);
        await fault.strike(environment);
      }
    },
  };
}

// Most of the time they wait, so they run at the same time.
describe.concurrent('nothing is lost, duplicated, out of order or missing without notice', () => {
  it.each([
    [['flushall-in-rolling-restart'], 'recoverable'],
    [['redis-hang'], 'recoverable'],
    [['kill-node', 'pause-node'], 'recoverable'],
    // A second fault in the same cluster would be too much: until all memory is restored, it may cause resets.
    [['redis-failover-behind'], 'recoverable'],
    [['redis-failover-behind'], 'durable'],
    [['shard-hung'], 'recoverable'],
    [['large-slot-moved'], 'recoverable'],
    [['master-killed'], 'durable'],
  ] as const)('with %j, at level %s', (names, level) => expectNoLoss(inTurn(names), { level }));
});
