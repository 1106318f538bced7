/** What faults do to one node, to one connection or to Redis. */
import type { FaultProxy, RedisClusterProcess, RedisProcess } from '@fanfare/local-cluster';
import type { VerifyTopic } from '../checker/numbered.js';
import type { ClusterUnderTest, NodeUnderTest } from '../cluster/cluster-under-test.js';
import type { ShardList } from '../cluster/redis-under-test.js';
import { readTopicChannels } from '../cluster/topic-channels.js';

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

/** The topics on other masters than the first. Throws if it has no topic either: then the fault would prove nothing. */
export async function topicsOfOthers({ redis }: ClusterUnderTest): Promise<ReadonlySet<VerifyTopic>> {
  const others = await redis.otherMasters();
  const channels = await Promise.all(others.map(readTopicChannels));
  const topics = new Set(channels.flatMap((some) => [...some.keys()]));
  const hasBoth = topics.size > 0 && (await readTopicChannels(redis.first)).size > 0;
  if (!hasBoth) throw new Error('All topics are on one master: use more topics.');
  return topics;
}

export async function restart(redis: RedisProcess): Promise<void> {
  await redis.kill();
  await redis.restart();
}
