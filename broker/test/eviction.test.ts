/** A Redis that deletes histories to free memory: no command fails, so the node has to report it. */
import { startRedis } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { EvictionWatch } from '../src/redis/eviction-watch.js';
import { startCluster } from './harness.js';
import { until } from './wait.js';

it('a node warns when it connects to a Redis that can evict keys, and only then', async () => {
  await using evicts = await startRedis({ args: ['--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-lru'] });
  await using refuses = await startRedis({ args: ['--maxmemory', '50mb', '--maxmemory-policy', 'noeviction'] });
  await using unlimited = await startRedis({ args: ['--maxmemory-policy', 'volatile-lru'] });
  for (const [redis, isWarned] of [
    [evicts, true],
    [refuses, false],
    [unlimited, false],
  ] as const) {
    await using cluster = await startCluster({ redis });
    const warnings = () => cluster.node().log.filter(({ msg }) => msg.includes('maxmemory-policy'));
    if (isWarned) await until('the node warns', () => warnings().length === 1);
    // The questions that the node asks when it connects have been answered by then.
    await (await cluster.connect()).publish('t', 1);
    expect(warnings().length).toBe(isWarned ? 1 : 0);
  }
});

it('a node counts and logs evictions of Redis', async () => {
  await using redis = await startRedis({ args: ['--maxmemory', '5mb', '--maxmemory-policy', 'allkeys-lru'] });
  const admin = new Redis(redis.url);
  const lines: { event?: string }[] = [];
  const log = { warn: (fields: object) => lines.push(fields), error: (fields: object) => lines.push(fields) };
  const counters = { redisEvictions: 0 };
  const link = { isReady: true, info: (...sections: string[]) => admin.info(...sections) };
  const watch = new EvictionWatch(link, log as never, counters);
  await watch.look();
  expect(counters.redisEvictions).toBe(0);
  for (let number = 0; number < 100; number++) await admin.set(`key ${number}`, 'x'.repeat(100_000));
  await watch.look();
  expect(counters.redisEvictions).toBeGreaterThan(50);
  const evicted = counters.redisEvictions;
  // A server that was started later counts from 0.
  await redis.restart();
  await watch.look();
  expect(counters.redisEvictions).toBe(evicted);
  expect(lines.map(({ event }) => event)).toEqual(['redisSettings', 'redisEvicts']);
  watch.close();
  admin.disconnect();
});

it('a node does not report evictions of another server from before it connected, as after a failover', async () => {
  await using first = await startRedis();
  await using second = await startRedis({ args: ['--maxmemory', '5mb', '--maxmemory-policy', 'allkeys-lru'] });
  const [before, after] = [new Redis(first.url), new Redis(second.url)];
  for (let number = 0; number < 100; number++) await after.set(`key ${number}`, 'x'.repeat(100_000));
  for (const [name, value] of [
    ['maxmemory-policy', 'noeviction'],
    ['maxmemory', '0'],
  ] as const)
    await after.config('SET', name, value);
  expect(await after.info('stats')).toMatch(/evicted_keys:[1-9]/);
  const lines: object[] = [];
  const log = { warn: (fields: object) => lines.push(fields), error: (fields: object) => lines.push(fields) };
  const counters = { redisEvictions: 0 };
  let redis = before;
  const link = { isReady: true, info: (...sections: string[]) => redis.info(...sections) };
  const watch = new EvictionWatch(link, log as never, counters);
  for (redis of [before, after, before, after]) await watch.look();
  expect({ counters, lines }).toEqual({ counters: { redisEvictions: 0 }, lines: [] });
  watch.close();
  for (const each of [before, after]) each.disconnect();
});
