/** Commands for Redis or Sentinel: a connection, the commands, their replies. */
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';

export type RedisReply = string | number | null | readonly RedisReply[];

/** One command on a connection of its own. Rejects if Redis replies with an error, or does not reply in time. */
export async function redisCommand(
  port: number,
  command: readonly string[],
  timeoutMs = defaultTimeoutMs,
): Promise<RedisReply> {
  using connection = new RedisConnection(port);
  return await connection.call(command, timeoutMs);
}

/** A connection for several commands. It does not reconnect. */
export class RedisConnection implements Disposable {
  readonly #redis: Redis;
  /** Why the connection was lost: a command's own promise does not name it. */
  #cause: Error | null = null;

  constructor(port: number) {
    this.#redis = new Redis(port, '127.0.0.1', {
      retryStrategy: () => null,
      maxRetriesPerRequest: 0,
      enableReadyCheck: false,
      disableClientInfo: true,
    });
    this.#redis.on('error', (error: Error) => {
      this.#cause ??= error;
    });
  }

  /** Rejects if Redis replies with an error, or does not reply in time. */
  async call([name = '', ...args]: readonly string[], timeoutMs = defaultTimeoutMs): Promise<RedisReply> {
    const over = new AbortController();
    const late = delay(timeoutMs, null, { signal: over.signal }).then(() => {
      throw new Error(`no answer within ${timeoutMs} ms`);
    });
    late.catch(() => {});
    try {
      return (await Promise.race([this.#redis.call(name, ...args), late])) as RedisReply;
    } catch (error) {
      throw new Error(`Redis, ${[name, ...args].join(' ')}: ${(this.#cause ?? (error as Error)).message}`);
    } finally {
      over.abort();
    }
  }

  [Symbol.dispose](): void {
    this.#redis.disconnect();
  }
}

const defaultTimeoutMs = 5_000;

/** Calls of each command since Redis started, by its name in lower case. */
export async function readCommandCalls(port: number): Promise<ReadonlyMap<string, number>> {
  const info = String(await redisCommand(port, ['INFO', 'commandstats']));
  return new Map(
    [...info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(([, name = '', calls]) => [name, Number(calls)]),
  );
}
