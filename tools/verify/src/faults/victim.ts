/** What faults do to one node, to one connection or to Redis. */
import type { FaultProxy, RedisClusterProcess, RedisProcess } from '@fanfare/local-cluster';
import type { ClusterUnderTest, NodeUnderTest } from '../cluster/cluster-under-test.js';
import type { ShardList } from '../cluster/redis-under-test.js';

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

export function redisClusterOf({ redis }: ClusterUnderTest): RedisClusterProcess {
  if (redis.redisCluster === null) throw new Error('There is no Redis Cluster.');
  return redis.redisCluster;
}

export function shardsOf({ redis }: ClusterUnderTest): ShardList {
  if (redis.shards === null) throw new Error('There are no shards.');
  return redis.shards;
}

export async function restart(redis: RedisProcess): Promise<void> {
  await redis.kill();
  await redis.restart();
}
