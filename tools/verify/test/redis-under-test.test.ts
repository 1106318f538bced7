/** The Redis servers of a run, for each placement. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { promisify } from 'node:util';
import { redisCommand } from '@fanfare/local-cluster';
import { describe, expect, it } from 'vitest';
import { redirectPort } from '../src/cluster/redirected-ports.js';
import { ClusterRedis } from '../src/cluster/redis-cluster.js';
import { RedisList } from '../src/cluster/redis-list.js';
import type { RedisSettings } from '../src/cluster/redis-under-test.js';

const settings: RedisSettings = { args: [], replica: null, isDurable: false, clockAheadSeconds: null };
const timeoutMs = 120_000;

describe.concurrent('Redis under test', () => {
  it(
    'with a Sentinel, a replica takes over as planned',
    async () => {
      await using redis = await RedisList.start({ ...settings, replica: 'watched' }, null);
      expect(redis.url).toMatch(/^redis\+sentinel:\/\/127\.0\.0\.1:\d+\/fanfare$/);
      expect(await redis.masters()).toEqual([redis.first]);
      await redis.failOver();
      expect(await redis.masters()).not.toContain(redis.first);
    },
    timeoutMs,
  );

  it(
    'shards get their replicas, and the list of shards changes the URL',
    async () => {
      await using redis = await RedisList.start({ ...settings, isDurable: true }, 2);
      expect(redis.servers).toHaveLength(4);
      expect(await redis.masters()).toHaveLength(2);
      expect((await redis.otherMasters())[0]).not.toBe(redis.first);
      const { shards } = redis;
      const [first = ''] = shards?.names ?? [];
      const added = (await shards?.add()) ?? '';
      expect(redis.url.split(/\/\/|;/)).toEqual(['redis+shards:', ...(shards?.names ?? [])]);
      shards?.remove(first);
      expect(redis.url).not.toContain(first);
      expect(redis.url).toContain(added);
      expect(shards?.serverOf(first)).toBe(redis.first);
      expect(() => shards?.remove(first)).toThrow(`There is no shard ${first}.`);
    },
    timeoutMs,
  );

  it(
    'shards with Sentinels have a replica that takes over, also a shard that is added later',
    async () => {
      await using redis = await RedisList.start({ ...settings, replica: 'watched' }, 2);
      const { shards } = redis;
      const added = (await shards?.add()) ?? '';
      const [scheme, ...names] = redis.url.split(/\/\/|;/);
      expect(scheme).toBe('redis+shards+sentinel:');
      expect(names).toEqual(shards?.names);
      expect(names).toHaveLength(3);
      for (const name of names) expect(name).toMatch(/^127\.0\.0\.1:\d+\/fanfare$/);
      expect(redis.servers).toHaveLength(9);
      const later = shards?.serverOf(added);
      expect(await redis.masters()).toContain(later);
      await redis.first.kill();
      await redis.untilReplaced();
      expect(await redis.masters()).toContain(later);
    },
    timeoutMs,
  );

  it(
    'in a Redis Cluster, a replica takes over from a killed master',
    async () => {
      await using redis = await ClusterRedis.start({ ...settings, isDurable: true });
      expect(redis.url).toMatch(/^redis\+cluster:\/\/127\.0\.0\.1:\d+,/);
      expect(redis.servers).toHaveLength(9);
      expect(await redis.everywhere('PING')).toEqual(['PONG', 'PONG', 'PONG']);
      await redis.first.kill();
      await redis.untilReplaced();
      await redis.first.restart();
      await redis.redisCluster.untilHealthy();
      expect(await redis.masters()).not.toContain(redis.first);
      expect(await redisCommand(redis.first.port, ['ROLE'])).toContain('slave');
    },
    timeoutMs,
  );
});

it('connections to a redirected port go to the other port', async () => {
  await using server = createServer((socket) => socket.end('here'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  // Nothing listens on port 1.
  const program = "require('node:net').connect(1, '127.0.0.1').pipe(process.stdout)";
  const env = { ...process.env, ...redirectPort(1, port) };
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], { env });
  expect(stdout).toBe('here');
});
