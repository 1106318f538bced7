/** One command for Redis or Sentinel: a connection, the command, its reply. */
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';

export type RedisReply = string | number | null | readonly RedisReply[];

/** Rejects if Redis replies with an error, or does not reply in time. */
export async function redisCommand(
  port: number,
  [name = '', ...args]: readonly string[],
  timeoutMs = 5_000,
): Promise<RedisReply> {
  const redis = new Redis(port, '127.0.0.1', {
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
    disableClientInfo: true,
  });
  // The command's own promise does not name the cause of a lost connection.
  let cause: Error | null = null;
  redis.on('error', (error: Error) => {
    cause ??= error;
  });
  const over = new AbortController();
  const late = delay(timeoutMs, null, { signal: over.signal }).then(() => {
    throw new Error(`no answer within ${timeoutMs} ms`);
  });
  late.catch(() => {});
  try {
    return (await Promise.race([redis.call(name, ...args), late])) as RedisReply;
  } catch (error) {
    throw new Error(`Redis, ${[name, ...args].join(' ')}: ${(cause ?? (error as Error)).message}`);
  } finally {
    over.abort();
    redis.disconnect();
  }
}

/** Calls of each command since Redis started, by its name in lower case. */
export async function readCommandCalls(port: number): Promise<ReadonlyMap<string, number>> {
  const info = String(await redisCommand(port, ['INFO', 'commandstats']));
  return new Map(
    [...info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(([, name = '', calls]) => [name, Number(calls)]),
  );
}
