/**
 * Scripts name every key that they use. In a Redis Cluster, a script that uses another one fails half-way if the key has
 * already moved with its slot: what it has written stays.
 */
import { startRedis } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { monitorRedis, type SeenCommand } from './redis-monitor.js';
import { publishAcknowledged, topic } from './relay.contract.js';
import { startRelay, untilConnected } from './test-relay.js';
import { until } from './wait.js';

it('scripts that publish, read, recover and report use only the keys that their calls name', async () => {
  await using redis = await startRedis();
  const admin = new Redis(redis.url);
  using seen = await monitorRedis(redis);
  const settings = { redisUrl: redis.url, redisPrefix: 'p', redisTimeoutMs: 5_000 };
  await using one = startRelay(settings);
  await using two = startRelay(settings);
  for (const { relay } of [one, two]) await untilConnected(relay);
  const publish = (number: number) => publishAcknowledged(one.relay, 't', number, `id-${number}`);
  await two.relay.subscribe(topic('t'), null);
  for (const number of [0, 1, 0, 2]) await publish(number);
  await publishAcknowledged(one.relay, 'other', 1);
  for (const direction of ['forward', 'backward'] as const)
    await one.relay.history(topic('t'), { since: null, limit: 2, direction });
  await one.relay.topicInfo(topic('t'));
  await admin.flushall();
  await until('it is served again', async () => {
    const outcome = await publish(3).catch((error: Error) => error);
    return !(outcome instanceof Error);
  });
  await until('all have arrived', () => two.delivery.of('t').length === 4);
  const undeclared = new Set<string>();
  for (const { keys, commands } of seen.scriptCalls) {
    for (const command of commands)
      for (const key of await keysOf(admin, command)) if (!keys.includes(key)) undeclared.add(`${command[0]} ${key}`);
  }
  expect([...undeclared]).toEqual([]);
  const written = new Set(seen.scriptCalls.flatMap(({ commands }) => commands.map(([name]) => name)));
  expect([...written]).toEqual(expect.arrayContaining(['xadd', 'hset', 'hmget', 'xsetid', 'xrevrange', 'zadd', 'del']));
  expect(new Set(seen.scriptCalls.map(({ sha }) => sha)).size).toBeGreaterThanOrEqual(8);
  admin.disconnect();
});

/** The keys of a command, as Redis finds them. The channel of SPUBLISH is no key. */
async function keysOf(admin: Redis, [name, ...args]: SeenCommand): Promise<readonly string[]> {
  if (name === 'spublish' || args.length === 0) return [];
  return (admin.call('COMMAND', 'GETKEYS', name, ...args) as Promise<string[]>).catch((error: Error) => {
    if (error.message.includes('no key arguments')) return [];
    throw error;
  });
}
