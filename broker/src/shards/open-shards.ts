/** Connects to all shards of FANFARE_REDIS_URL. */
import { readPlacement } from '../redis/placement.js';
import type { RedisSettings } from '../redis/redis-options.js';
import { readRedisUrl } from '../redis/redis-url.js';
import { Keys } from '../relay/keys.js';
import { memoryTimes } from '../relay/memory-times.js';
import { minPartitions, Partitions } from '../relay/partitions.js';
import { ShardLink, ShardsError } from './shard-link.js';
import { type Progress, Shards } from './shards.js';

interface ShardsSettings extends RedisSettings {
  readonly redisPrefix: string;
}

export interface OpenShards extends AsyncDisposable {
  readonly shards: Shards;
}

/**
 * Rejects with {@link ShardsError} if a shard does not
 * respond, if there is no map yet, or if the URL does not list shards.
 */
export async function openShards(settings: ShardsSettings, progress: Progress = {}): Promise<OpenShards> {
  const placement = readPlacement(settings.redisUrl);
  if (placement.kind !== 'shards')
    throw new ShardsError(
      'FANFARE_REDIS_URL does not list shards. Write redis+shards://host1:6379;host2:6379, as for the nodes (docs/operations.md, Several Redis servers).',
    );
  const { shards: listed } = placement;
  const database = readRedisUrl(listed[0]?.url ?? '').database;
  const links = new Map(listed.map(({ name, url }) => [name, new ShardLink(name, { ...settings, redisUrl: url })]));
  const shardsWith = (count: number): Shards => {
    const keys = new Keys(settings.redisPrefix, database, new Partitions(count));
    return new Shards(links, keys, memoryTimes.leaseMs, progress);
  };
  const close = async (): Promise<void> => {
    await Promise.all([...links.values()].map((link) => link.close()));
  };
  try {
    await Promise.all([...links.values()].map((link) => link.ready()));
    const { shards: places } = await shardsWith(minPartitions).readMap();
    return { shards: shardsWith(places.length), [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}
