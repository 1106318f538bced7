/** The tiny client of Redis reads every kind of reply, also in pieces, and knows errors. */
import { startRedis } from '@fanfare/local-cluster';
import { expect, it } from 'vitest';
import { readCommandCalls, readReply, redisCommand } from '../src/redis-command.js';

it('reads replies, and waits for what is not complete', () => {
  const bytes = Buffer.from('*5\r\n+OK\r\n:42\r\n$5\r\nh\r\nlo\r\n$-1\r\n*1\r\n$0\r\n\r\n');
  expect(readReply(bytes, 0)).toEqual({ reply: ['OK', 42, 'h\r\nlo', null, ['']], end: bytes.length });
  for (let length = 0; length < bytes.length; length++) expect(readReply(bytes.subarray(0, length), 0)).toBeNull();
  expect(() => readReply(Buffer.from('-ERR no\r\n'), 0)).toThrow('ERR no');
});

it('asks a Redis', async () => {
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
