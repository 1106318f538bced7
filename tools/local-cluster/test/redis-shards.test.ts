/** Several plain Redis servers at once. */
import { expect, it } from 'vitest';
import { type RedisProcess, redisCommand, startRedisShards } from '../src/index.js';

it('startRedisShards starts servers with one URL, and ends them together', async () => {
  const shards = await startRedisShards(2, { args: ['--maxmemory', '7mb'] });
  const [first, second] = shards.servers as [RedisProcess, RedisProcess];
  expect(shards.servers).toHaveLength(2);
  expect(shards.url).toBe(`redis+shards://127.0.0.1:${first.port};127.0.0.1:${second.port}`);
  for (const { port } of shards.servers)
    expect(await redisCommand(port, ['CONFIG', 'GET', 'maxmemory'])).toEqual(['maxmemory', '7340032']);
  await redisCommand(first.port, ['SET', 'a', '1']);
  expect(await redisCommand(second.port, ['GET', 'a'])).toBeNull();
  await shards[Symbol.asyncDispose]();
  for (const { port } of shards.servers) await expect(redisCommand(port, ['PING'])).rejects.toThrow('ECONNREFUSED');
});

it('startRedisShards reports why a server cannot start', async () => {
  await expect(startRedisShards(2, { args: ['--maxmemory', 'plenty'] })).rejects.toThrow(/plenty/);
});
