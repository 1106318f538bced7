/** Connects to all shards of FANFARE_REDIS_URL. */
import { readPlacement, type Shard } from '../redis/placement.js';
import type { RedisSettings } from '../redis/redis-options.js';
import { readRedisUrl } from '../redis/redis-url.js';
import { Keys } from '../relay/keys.js';
import { memoryTimes } from '../relay/memory-times.js';
import { minPartitions, Partitions } from '../relay/partitions.js';
import { nameInMap } from '../relay/shard-names.js';
import { ShardLink, ShardsUsageError } from './shard-link.js';
import { type Progress, Shards } from './shards.js';

export interface ShardsSettings extends RedisSettings {
  readonly redisPrefix: string;
}

export interface OpenShards extends AsyncDisposable {
  readonly shards: Shards;
  /** By the names of the shards in the map. */
  readonly links: ReadonlyMap<string, ShardLink>;
}

/** The shards of the URL. Throws {@link ShardsUsageError} if it does not list shards. */
export function listedShards(redisUrl: string): readonly Shard[] {
  const placement = readPlacement(redisUrl);
  switch (placement.kind) {
    case 'shards':
      return placement.shards;
    case 'cluster':
      throw new ShardsUsageError(
        'FANFARE_REDIS_URL names a Redis Cluster. Move its slots with redis-cli --cluster reshard or rebalance: the nodes follow.',
      );
    case 'single':
      throw new ShardsUsageError(
        'FANFARE_REDIS_URL does not list shards. Write redis+shards://host1:6379;host2:6379, as for the nodes (docs/operations.md, Several Redis servers).',
      );
  }
}

/**
 * Rejects with ShardsError if a shard does not respond, if there is no map yet, or if the URL does not list shards; with
 * ShardMapError if two shards are the same Redis. `names`: names of the map for shards of the list, if they differ and
 * the map does not know that yet.
 */
export async function openShards(
  settings: ShardsSettings,
  progress: Progress = {},
  names: ReadonlyMap<string, string> = new Map(),
): Promise<OpenShards> {
  const listed = listedShards(settings.redisUrl);
  const database = readRedisUrl(listed[0]?.url ?? '').database;
  const links = new Map(listed.map(({ name, url }) => [name, new ShardLink(name, { ...settings, redisUrl: url })]));
  const shardsWith = (count: number, linksByName = links): Shards => {
    const keys = new Keys(settings.redisPrefix, database, new Partitions(count));
    return new Shards(linksByName, keys, memoryTimes.leaseMs, progress);
  };
  const close = async (): Promise<void> => {
    await Promise.all([...links.values()].map((link) => link.close()));
  };
  try {
    await Promise.all([...links.values()].map((link) => link.ready()));
    const map = await shardsWith(minPartitions).readMap();
    const named = new Map(
      [...links].map(([name, link]) => [names.get(name) ?? nameInMap(map, name, [...links.keys()]), link]),
    );
    return { shards: shardsWith(map.shards.length, named), links: named, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}
