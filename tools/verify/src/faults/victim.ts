/** What faults do to one node, to one connection or to Redis. */
import type { FaultProxy, RedisClusterProcess, RedisProcess } from '@fanfare/local-cluster';
import type { ClusterUnderTest, NodeUnderTest } from '../cluster/cluster-under-test.js';
import type { ShardList } from '../cluster/redis-under-test.js';
import { readTopicChannels } from '../cluster/topic-channels.js';
import type { FaultEnvironment } from './fault.js';

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

/**
 * The fault concerns the first master: topics on the others must not notice it. With only one master, this does nothing.
 * Throws if all topics are on one of several masters: then the fault would prove nothing.
 */
export async function expectOthersUnaffected({ cluster, expectUnaffected }: FaultEnvironment): Promise<void> {
  const { redis } = cluster;
  const others = (await redis.masters()).filter((server) => server !== redis.first);
  if (others.length === 0) return;
  const channels = await Promise.all(others.map(readTopicChannels));
  const topics = new Set(channels.flatMap((some) => [...some.keys()]));
  const hasBoth = topics.size > 0 && (await readTopicChannels(redis.first)).size > 0;
  if (!hasBoth) throw new Error('All topics are on one master: use more topics.');
  expectUnaffected(topics);
}

export async function restart(redis: RedisProcess): Promise<void> {
  await redis.kill();
  await redis.restart();
}
