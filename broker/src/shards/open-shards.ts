/** Connects to all shards of FANFARE_REDIS_URL. */
import { readPlacement } from '../redis/placement.js';
import type { RedisSettings } from '../redis/redis-options.js';
import { readRedisUrl } from '../redis/redis-url.js';
import { Keys } from '../relay/keys.js';
import { memoryTimes } from '../relay/memory-times.js';
import { Partitions } from '../relay/partitions.js';
import { ShardLink, ShardsError } from './shard-link.js';
import { Shards } from './shards.js';

export interface ShardsSettings extends RedisSettings {
  readonly redisPrefix: string;
  readonly redisPartitions: number;
}

export interface OpenShards extends AsyncDisposable {
  readonly shards: Shards;
}

/** Rejects with {@link ShardsError} if a shard does not respond, or if the URL does not list shards. */
export async function openShards(settings: ShardsSettings, onProgress?: (line: string) => void): Promise<OpenShards> {
  const placement = readPlacement(settings.redisUrl);
  if (placement.kind !== 'shards')
    throw new ShardsError(
      'FANFARE_REDIS_URL does not list shards. Write redis+shards://host1:6379;host2:6379, as for the nodes (docs/operations.md, Several Redis servers).',
    );
  const links = new Map(
    placement.shards.map(({ name, url }) => [name, new ShardLink(name, { ...settings, redisUrl: url })]),
  );
  const close = async (): Promise<void> => {
    await Promise.all([...links.values()].map((link) => link.close()));
  };
  try {
    await Promise.all([...links.values()].map((link) => link.ready()));
  } catch (error) {
    await close();
    throw error;
  }
  const [first] = placement.shards as unknown as readonly [{ readonly url: string }];
  const partitions = new Partitions(settings.redisPartitions);
  const keys = new Keys(settings.redisPrefix, readRedisUrl(first.url).database, partitions);
  return { shards: new Shards(links, keys, memoryTimes.leaseMs, onProgress), [Symbol.asyncDispose]: close };
}
