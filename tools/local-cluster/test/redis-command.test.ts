/** A single command gets its reply, or an error with a cause. */
import { expect, it } from 'vitest';
import { readCommandCalls, redisCommand, startRedis } from '../src/index.js';

it('redisCommand returns the reply, and an error with a cause if there is none', async () => {
  await using redis = await startRedis();
  const { port } = redis;
  expect(await redisCommand(port, ['SET', 'word', 'grüße'])).toBe('OK');
  expect(await redisCommand(port, ['GET', 'word'])).toBe('grüße');
  await expect(redisCommand(port, ['FROB'])).rejects.toThrow(/^Redis, FROB: ERR unknown command/);
  expect((await readCommandCalls(port)).get('set')).toBe(1);
  await redis.pause();
  await expect(redisCommand(port, ['PING'], 50)).rejects.toThrow('Redis, PING: no answer within 50 ms');
  await redis.resume();
  await redis.kill();
  await expect(redisCommand(port, ['PING'])).rejects.toThrow('ECONNREFUSED');
});
