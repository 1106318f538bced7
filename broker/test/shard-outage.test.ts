/** One of several Redis fails in a running broker. */
import { isDeepStrictEqual } from 'node:util';
import { startRedisCluster } from '@fanfare/local-cluster';
import { expect, it } from 'vitest';
import { startCluster } from './harness.js';
import { until } from './wait.js';

it('a node with a failed shard stays ready, serves the topics of the other shard, and logs the beginning and the end', async () => {
  const env = { FANFARE_REDIS_TIMEOUT_MS: '1000' };
  await using cluster = await startCluster({ nodes: 2, redis: 'shards', env });
  const [node, other] = [cluster.node(0), cluster.node(1)];
  const writer = await cluster.connect(0);
  const [victim, healthy] = cluster.shards;
  if (victim === undefined || healthy === undefined) throw new Error('There are no two shards.');
  const topics = Array.from({ length: 16 }, (_, index) => `t${index}`);
  const readers = await Promise.all(topics.map(async (topic) => cluster.subscriber(topic, 1)));
  await victim.pause();
  await until('the node logs it', () => node.log.some(({ event }) => event === 'shardLost'));
  const line = node.log.find(({ event }) => event === 'shardLost');
  expect(line?.msg).toContain(`The Redis 127.0.0.1:${victim.port} cannot be used for 32 of its 32 partitions.`);
  for (const each of [node, other]) expect((await each.readiness()).status).toBe(200);
  const replies = await Promise.all(topics.map((topic) => writer.publish(topic, topic)));
  const served = topics.filter((_, index) => replies[index]?.type === 'published');
  expect(served.length).toBeGreaterThan(0);
  expect(served.length).toBeLessThan(topics.length);
  for (const reply of replies)
    if (reply.type !== 'published') expect(reply).toMatchObject({ type: 'error', retryable: true });
  for (const topic of served) expect(await readers[topics.indexOf(topic)]?.take(topic, 1)).toEqual([topic]);
  await victim.resume();
  await until('the node logs the end', () => node.log.some(({ event }) => event === 'shardBack'));
  expect(node.log.some(({ event }) => event === 'outageBegan')).toBe(false);
});

it('the metrics name a failed master of a Redis Cluster, and the partitions that it has', async () => {
  await using redis = await startRedisCluster({ masters: 3, replicasPerMaster: 0 });
  await using cluster = await startCluster({ redis });
  const node = cluster.node();
  const valuesOf = async (name: string): Promise<unknown> => {
    const text = await node.broker.metrics(`fanfare_shard_${name}`);
    const found = text.matchAll(/\{shard="127\.0\.0\.1:(\d+)"\} (\d+)$/gm);
    return Object.fromEntries([...found].map(([, port = '', value]) => [port, Number(value)]));
  };
  const [victim, ...others] = redis.servers.map(({ port }) => port) as [number, ...number[]];
  const healthy = Object.fromEntries(others.map((port) => [port, 1]));
  await until('all masters are used', async () =>
    isDeepStrictEqual(await valuesOf('connected'), { ...healthy, [victim]: 1 }),
  );
  const partitions = (await valuesOf('partitions')) as Record<string, number>;
  await redis.servers[0]?.kill();
  await until('the metrics name it', async () =>
    isDeepStrictEqual(await valuesOf('connected'), { ...healthy, [victim]: 0 }),
  );
  expect(await valuesOf('partitions')).toEqual(partitions);
  const noneMissing = Object.fromEntries(others.map((port) => [port, 0]));
  expect(await valuesOf('partitions_unavailable')).toEqual({ ...noneMissing, [victim]: partitions[victim] });
  expect((await node.readiness()).status).toBe(200);
});
