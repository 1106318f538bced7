/** Creates the relay of a node and its connections to Redis. */
import type { Log } from '../observe/log.js';
import { type RedisSettings, SentinelWatch } from '../redis/redis.js';
import { RedisCredentialWatch } from '../redis/redis-credential-watch.js';
import { filesOf } from '../redis/redis-credentials.js';
import { readPlacement } from '../redis/placement.js';
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

interface OpenedRelay {
  readonly relay: RoutedRelay;
  /** The Redis that keeps what does not belong to a topic. */
  readonly home: { readonly settings: RedisSettings; readonly keys: Keys };
  /** Call this when the relay is closed, and nothing else uses {@link home}. */
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
  const partitions = new Partitions(settings.redisPartitions);
  const placement = readPlacement(settings.redisUrl);
  if (placement.kind === 'cluster') throw new Error('A Redis Cluster is not supported yet.');
  const isSharded = placement.kind === 'shards';
  const listed = isSharded ? placement.shards : [{ name: 'redis', url: placement.url }];
  const share = new RelayShare(settings, listed.length);
  const relays = new Map<string, RedisRelay>();
  const opened = listed.map(({ name, url }) => {
    const shardLog = isSharded ? log.child({ shard: name }) : log;
    const shard = openShard({ ...settings, redisUrl: url }, shardLog, counters);
    const keys = new Keys(settings.redisPrefix, readRedisUrl(url).database, partitions);
    const relay: RedisRelay = new RedisRelay(
      settings,
      keys,
      (owner) => new Connections(shard.settings, owner, shardLog, counters),
      share,
      delivery,
      shardLog,
      counters,
      load,
      tracer,
      isSharded ? { learn: () => maps.exchange({ name, ...mappedBy(relay) }) } : null,
    );
    relays.set(name, relay);
    return { unit: { shard: name, relay }, home: { settings: shard.settings, keys }, close: () => shard.close() };
  });
  const units = opened.map(({ unit }) => unit);
  const [first] = opened as [(typeof opened)[number]];
  const places = new PartitionPlaces(relays, partitions, settings, share, counters);
  const mapped = units.map(({ shard, relay }) => ({ name: shard, ...mappedBy(relay) }));
  const maps = new ShardMaps(mapped, partitions.count, places, log);
  const fixed = (): Places => fixedPlaces(partitions, Array.from({ length: partitions.count }, () => first.unit.relay));
  return {
    relay: new RoutedRelay(units, isSharded ? places : fixed(), share, () => maps.fault),
    home: first.home,
    close() {
      for (const { close } of opened) close();
    },
  };
}

/** A shard, as the maps need it. */
function mappedBy(relay: RedisRelay): Omit<MappedShard, 'name'> {
  return {
    exchangeMap: (known) => relay.exchangeMap(known),
    reportMap: (version) => relay.reportMap(version),
  };
}

/** What all connections to one Redis share. */
function openShard(settings: Omit<ConnectionsSettings, 'sentinels'>, log: Log, counters: RelayCounters) {
  const sentinels = SentinelWatch.start(settings, log);
  const withSentinels: ConnectionsSettings = { ...settings, sentinels };
  const credentialWatch =
    filesOf(settings).length === 0 ? null : new RedisCredentialWatch(withSentinels, log, counters);
  return {
    settings: withSentinels,
    close(): void {
      credentialWatch?.close();
      sentinels?.close();
    },
  };
}
