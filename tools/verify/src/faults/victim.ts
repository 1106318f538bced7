/** What faults do to one node, to one connection or to Redis. */
import { becomes } from '@fanfare/kit/within';
import { type FaultProxy, type RedisProcess, redisCommand } from '@fanfare/local-cluster';
import type { ClusterUnderTest, NodeUnderTest } from '../cluster/cluster-under-test.js';

/** The first node, which also has the proxy if there is one. */
export function firstNode({ nodes }: ClusterUnderTest): NodeUnderTest {
  const [node] = nodes;
  if (node === undefined) throw new Error('There is no node.');
  return node;
}

/** The proxy of the fault. Throws if no connection passes through it, because the fault would have no effect. */
export function proxyOf({ proxy }: ClusterUnderTest): FaultProxy {
  if (proxy === null) throw new Error('There is no proxy.');
  if (proxy.connections === 0) throw new Error('There is no connection through the proxy.');
  return proxy;
}

export async function restart(redis: RedisProcess): Promise<void> {
  await redis.kill();
  await redis.restart();
}

const demotionDeadlineMs = 30_000;

/** Resolves once the Sentinel has made the old master a replica. */
export async function untilDemoted({ port }: RedisProcess): Promise<void> {
  const isDemoted = (): Promise<boolean> =>
    redisCommand(port, ['INFO', 'replication']).then(
      (info) => String(info).includes('role:slave'),
      // A server closes its connections when it becomes a replica.
      () => false,
    );
  if (!(await becomes(demotionDeadlineMs, isDemoted))) throw new Error('The Sentinel has not demoted the old master.');
}
