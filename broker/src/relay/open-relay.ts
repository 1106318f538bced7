/** Creates the relay of a node and its connections to Redis. */
import type { Log } from '../observe/log.js';
import { readPlacement } from '../redis/placement.js';
import { type RedisSettings, SentinelWatch } from '../redis/redis.js';
import { RedisCredentialWatch } from '../redis/redis-credential-watch.js';
import { filesOf } from '../redis/redis-credentials.js';
import { readRedisUrl } from '../redis/redis-url.js';
import { Connections, type ConnectionsCounters, type ConnectionsSettings } from './connections.js';
import { Keys } from './keys.js';
import { fixedPlaces, PartitionPlaces, type Places } from './partition-places.js';
import { Partitions } from './partitions.js';
import { RedisRelay, type RedisRelayCounters, type RedisRelaySettings } from './redis-relay.js';
import type { Load, LocalSubscribers, PublishTracer } from './relay.js';
import { RelayShare, type RelayShareSettings } from './relay-share.js';
import { RoutedRelay } from './routed-relay.js';
import { type MappedShard, ShardMaps } from './shard-maps.js';

export interface RelaySettings
  extends Omit<ConnectionsSettings, 'sentinels'>,
    RelayShareSettings,
    Omit<RedisRelaySettings, keyof RelayShareSettings> {
  readonly redisPrefix: string;
  readonly redisPartitions: number;
}

interface RelayCounters extends RedisRelayCounters, ConnectionsCounters {}

interface Home {
  readonly settings: RedisSettings;
  readonly keys: Keys;
}

interface OpenedRelay {
  readonly relay: RoutedRelay;
  /**
   * Calls the listener with the Redis that keeps what does not belong to a topic: now if it is known, and again
   * when it changes.
   */
  followHome(listener: (home: Home) => void): void;
  /** Call this when the relay is closed, and nothing else uses its Redis. */
  close(): void;
}

/** `load`: the load of this node for the other nodes; null while it takes no connections. */
export function openRelay(
  settings: RelaySettings,
  delivery: LocalSubscribers,
  log: Log,
  counters: RelayCounters,
  load: () => Load | null,
  tracer: PublishTracer | null = null,
): OpenedRelay {
  const placement = readPlacement(settings.redisUrl);
  if (placement.kind === 'cluster')
    throw new Error('FANFARE_REDIS_URL names a Redis Cluster, which this release does not support.');
  const isSharded = placement.kind === 'shards';
  const shards = placement.kind === 'single' ? [{ name: 'redis', url: placement.url }] : placement.shards;
  const partitions = new Partitions(settings.redisPartitions);
  const share = new RelayShare(settings, shards.length);
  const credentialWatch = filesOf(settings).length === 0 ? null : new RedisCredentialWatch(settings, log, counters);

  const opened = shards.map(({ name, url }) => {
    const shardLog = !isSharded ? log : log.child({ shard: name });
    const sentinels = SentinelWatch.start({ ...settings, redisUrl: url }, shardLog);
    const shardSettings: ConnectionsSettings = { ...settings, redisUrl: url, sentinels };
    const keys = new Keys(settings.redisPrefix, readRedisUrl(url).database, partitions);
    const relay: RedisRelay = new RedisRelay(
      settings,
      keys,
      (owner) => new Connections(shardSettings, owner, shardLog, counters),
      share,
      delivery,
      shardLog,
      counters,
      load,
      tracer,
      isSharded ? { learn: () => maps.exchange(mapped(name, relay)) } : null,
    );
    return { name, relay, keys, settings: shardSettings, sentinels };
  });

  let home: Home | null = null;
  const followers: ((home: Home) => void)[] = [];
  const relays = new Map(opened.map(({ name, relay }) => [name, relay]));
  const moving = new PartitionPlaces(relays, partitions, settings, share, counters, (shard) => {
    const found = opened.find(({ name }) => name === shard) as Home;
    home = found;
    for (const listener of followers) listener(found);
  });
  const maps = new ShardMaps(
    opened.map(({ name, relay }) => mapped(name, relay)),
    partitions.count,
    moving,
    log,
  );
  const [first] = opened as unknown as readonly [(typeof opened)[number]];
  if (!isSharded) home = first;
  const places: Places = isSharded ? moving : fixedPlaces(partitions, () => first.relay);
  const units = opened.map(({ name, relay }) => ({ shard: name, relay }));
  return {
    relay: new RoutedRelay(units, places, share, () => maps.fault),
    followHome(listener) {
      followers.push(listener);
      if (home !== null) listener(home);
    },
    close() {
      credentialWatch?.close();
      for (const { sentinels } of opened) sentinels?.close();
    },
  };
}

/** A shard, as the maps need it. */
function mapped(name: string, relay: RedisRelay): MappedShard {
  return {
    name,
    exchangeMap: (known) => relay.exchangeMap(known),
    reportMap: (version) => relay.reportMap(version),
  };
}
