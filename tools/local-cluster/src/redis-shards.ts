/** Several Redis servers that nodes use as one, by shards. */
import type { RedisOptions, RedisProcess } from './redis.js';
import { startRedis } from './redis-process.js';
import { endAll, startAll } from './start-all.js';

export interface RedisShards extends AsyncDisposable {
  readonly servers: readonly RedisProcess[];
  /** `redis+shards://127.0.0.1:p1;127.0.0.1:p2` */
  readonly url: string;
}

/** Starts `count` servers with the same options. */
export async function startRedisShards(count: number, options: Omit<RedisOptions, 'port'> = {}): Promise<RedisShards> {
  const servers = await startAll(Array.from({ length: count }, () => startRedis(options)));
  return {
    servers,
    url: `redis+shards://${servers.map(({ port }) => `127.0.0.1:${port}`).join(';')}`,
    [Symbol.asyncDispose]: () => endAll(servers),
  };
}
