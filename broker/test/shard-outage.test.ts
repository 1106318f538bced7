/** One of several Redis fails in a running broker. */
import { isDeepStrictEqual } from 'node:util';
import { type RedisProcess, redisCommand, startRedisCluster, startRedisShards } from '@fanfare/local-cluster';
import { expect, it } from 'vitest';
import { startCluster } from './harness.js';
import { until } from './wait.js';

it('a node with a failed shard stays ready, serves the topics of the other shard, and logs the beginning and the end', async () => {
  // A Redis of a busy machine that is late does not hang.
  const env = { FANFARE_REDIS_TIMEOUT_MS: '5000' };
  await using cluster = await startCluster({ nodes: 2, redis: 'shards', env });
  const [node, other] = [cluster.node(0), cluster.node(1)];
  const writer = await cluster.connect(0);
  const [victim, healthy] = cluster.shards;
  if (victim === undefined || healthy === undefined) throw new Error('There are no two shards.');
  const topics = Array.from({ length: 16 }, (_, index) => `t${index}`);
  const readers = await Promise.all(topics.map(async (topic) => cluster.subscriber(topic, 1)));
  // hung-shard.test.ts has one that hangs.
  await victim.kill();
  const sentence = `The Redis 127.0.0.1:${victim.port} cannot be used for 32 of its 32 partitions.`;
  await until('the node logs it', () =>
    node.log.some(({ event, msg }) => event === 'shardLost' && msg.includes(sentence)),
  );
  for (const each of [node, other]) {
    const reason = `serving, but 32 of 64 partitions are unavailable (127.0.0.1:${victim.port})`;
    await until('its readiness names the shard', async () => (await each.readiness()).reason.startsWith(reason));
    expect((await each.readiness()).status).toBe(200);
  }
  const replies = await Promise.all(topics.map((topic) => writer.publish(topic, topic)));
  const served = topics.filter((_, index) => replies[index]?.type === 'published');
  expect(served.length).toBeGreaterThan(0);
  expect(served.length).toBeLessThan(topics.length);
  for (const reply of replies)
    if (reply.type !== 'published') expect(reply).toMatchObject({ type: 'error', retryable: true });
  for (const topic of served) expect(await readers[topics.indexOf(topic)]?.take(topic, 1)).toEqual([topic]);
  await victim.restart();
  await until('the node logs the end', () => node.log.some(({ event }) => event === 'shardBack'));
  expect(node.log.some(({ event }) => event === 'outageBegan')).toBe(false);
  await until('all is served', async () => (await node.readiness()).reason === 'serving');
});

it('a node that reaches no shard is not ready, and names the fault of one of them', async () => {
  await using cluster = await startCluster({ redis: 'shards' });
  const node = cluster.node();
  for (const shard of cluster.shards) await shard.kill();
  await until('it is not ready', async () => (await node.readiness()).status === 503);
  await until('it names a shard', async () =>
    /^Redis is not connected\. 127\.0\.0\.1:\d+: Redis /.test((await node.readiness()).reason),
  );
});

it('the log and the readiness give each failed shard its own fault', async () => {
  await using shards = await startRedisShards(3);
  await using cluster = await startCluster({ redis: shards });
  const node = cluster.node();
  const [full, dead] = shards.servers as [RedisProcess, RedisProcess];
  const nameOf = ({ port }: RedisProcess): string => `127.0.0.1:${port}`;
  const lineOf = (shard: RedisProcess): Promise<string> =>
    until('it is logged as lost', () => {
      const begin = `The Redis ${nameOf(shard)} `;
      return node.log.find(({ event, msg }) => event === 'shardLost' && msg.startsWith(begin))?.msg;
    });
  await redisCommand(full.port, ['CONFIG', 'SET', 'maxmemory', '1']);
  expect(await lineOf(full)).toContain(` ${nameOf(full)}: Redis is out of memory`);
  await dead.kill();
  const line = await lineOf(dead);
  expect(line).toContain(` ${nameOf(dead)}: Redis `);
  expect(line).not.toContain('out of memory');
  const { reason } = await node.readiness();
  expect(reason).toMatch(/^serving, but \d+ of 64 partitions are unavailable \(/);
  for (const fault of [` ${nameOf(full)}: Redis is out of memory`, ` ${nameOf(dead)}: Redis `])
    expect(reason).toContain(fault);
});

it('a node whose user may not read the map of partitions says so', async () => {
  await using shards = await startRedisShards(2);
  // `%RW~` on every key but the map.
  for (const { port } of shards.servers)
    await redisCommand(port, 'ACL SETUSER fanfare on >password ~fanfare:[^m]* &* +@all'.split(' '));
  const url = shards.url.replace('://', '://fanfare:password@');
  await using cluster = await startCluster({ redis: false, env: { FANFARE_REDIS_URL: url }, waitReady: false });
  const node = cluster.node();
  await until('it names the fault', async () => (await node.readiness()).reason.includes('no permission for the keys'));
  const { status, reason } = await node.readiness();
  expect(status).toBe(503);
  expect(reason).toMatch(/^Redis is connected but does not deliver publications\. 127\.0\.0\.1:\d+: The Redis user /);
});

it('a node that has not applied the map that a shard requires says so', async () => {
  await using cluster = await startCluster({ redis: 'shards' });
  const node = cluster.node();
  for (const { port } of cluster.shards) {
    const generation = String(await redisCommand(port, ['GET', 'fanfare:generation']));
    await redisCommand(port, ['SET', 'fanfare:generation', generation.replace(/^([^:.]+)[^:]*:/, '$1.9:')]);
  }
  const sentence =
    /127\.0\.0\.1:\d+: This node works according to version 1 of the map of partitions, and this Redis requires version 9\./;
  // Ready until both shards refuse it.
  await until('it names the versions and is not ready', async () => {
    const { status, reason } = await node.readiness();
    return status === 503 && sentence.test(reason);
  });
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
  const { status, reason } = await node.readiness();
  expect(status).toBe(200);
  expect(reason).toContain(`serving, but ${partitions[victim]} of 64 partitions are unavailable (127.0.0.1:${victim})`);
});
