/** Creates the relay of a node and its connections to Redis: to one, to several shards, or to a Redis Cluster. */
import type { Log } from '../observe/log.js';
import { type Placement, readPlacement } from '../redis/placement.js';
import { ClusterConnections, ClusterStoreLink, type RedisCounters, SentinelWatch, StoreLink } from '../redis/redis.js';
import { RedisCredentialWatch } from '../redis/redis-credential-watch.js';
import { filesOf } from '../redis/redis-credentials.js';
import { readRedisUrl } from '../redis/redis-url.js';
import { Connections, type ConnectionsSettings } from './connections.js';
import { Keys } from './keys.js';
import { Partitions } from './partitions.js';
import { RedisRelay, type RedisRelayCounters, type RedisRelaySettings } from './redis-relay.js';
import type { Load, LocalSubscribers, PublishTracer } from './relay.js';
import type { LinksOwner, RelayLinks } from './relay-links.js';
import { RelayShare, type RelayShareSettings } from './relay-share.js';
import { type RelayUnit, RoutedRelay } from './routed-relay.js';
import { firstMap } from './shard-map.js';

export interface RelaySettings
  extends Omit<ConnectionsSettings, 'sentinels'>,
    RelayShareSettings,
    Omit<RedisRelaySettings, keyof RelayShareSettings> {
  readonly redisPrefix: string;
  readonly redisPartitions: number;
}

interface RelayCounters extends RedisRelayCounters, RedisCounters {}

/** The Redis that keeps what does not belong to a topic: the one that has partition 0. */
export interface Home {
  /** Opens a connection for authentication. */
  open(events: { onReady(): void }): Pick<StoreLink, 'run' | 'evaluate' | 'close' | 'isReady'>;
  /** Begins all names. */
  readonly prefix: string;
  /** The nodes that send heartbeats ({@link Keys.nodes}). */
  readonly nodes: string;
}

interface OpenedRelay {
  readonly relay: RoutedRelay;
  readonly home: Home;
  /** Call this when the relay and the connections of {@link home} are closed. */
  close(): void;
}

/** Creates the relay of the topics with these names. `log` names the shard if there are several. */
type NewRelay = (keys: Keys, openLinks: (owner: LinksOwner) => RelayLinks, share: RelayShare, log: Log) => RedisRelay;

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
  const partitions = new Partitions(settings.redisPartitions);
  const newRelay: NewRelay = (keys, openLinks, share, relayLog) =>
    new RedisRelay(settings, keys, openLinks, share, delivery, relayLog, counters, load, tracer);
  const opened =
    placement.kind === 'cluster'
      ? openCluster(settings, placement.seeds, partitions, newRelay, log, counters)
      : openShards(settings, shardsOf(placement), partitions, newRelay, log, counters);
  const credentialWatch = filesOf(settings).length === 0 ? null : new RedisCredentialWatch(settings, log, counters);
  return {
    ...opened,
    close() {
      credentialWatch?.close();
      opened.close();
    },
  };
}

interface Shard {
  readonly name: string;
  readonly url: string;
}

function shardsOf(placement: Exclude<Placement, { kind: 'cluster' }>): readonly Shard[] {
  return placement.kind === 'single' ? [{ name: 'redis', url: placement.url }] : placement.shards;
}

/** One relay for each Redis, which has all its partitions under one generation. */
function openShards(
  settings: RelaySettings,
  shards: readonly Shard[],
  partitions: Partitions,
  newRelay: NewRelay,
  log: Log,
  counters: RelayCounters,
): OpenedRelay {
  const share = new RelayShare(settings, shards.length);
  const opened = shards.map(({ name, url }) => {
    const shardLog = shards.length === 1 ? log : log.child({ shard: name });
    const sentinels = SentinelWatch.start({ ...settings, redisUrl: url }, shardLog);
    const shardSettings: ConnectionsSettings = { ...settings, redisUrl: url, sentinels };
    const keys = new Keys(settings.redisPrefix, readRedisUrl(url).database, partitions);
    const openLinks = (owner: LinksOwner): RelayLinks => new Connections(shardSettings, owner, shardLog, counters);
    const unit: RelayUnit = { shard: name, relay: newRelay(keys, openLinks, share, shardLog) };
    return { unit, keys, settings: shardSettings, log: shardLog, sentinels };
  });
  const names = shards.map(({ name }) => name);
  const map = firstMap(names, partitions.count);
  const unitOf = (partition: number): number => names.indexOf(map.shards[partition] as string);
  const home = opened[unitOf(0)] as (typeof opened)[number];
  const units = opened.map(({ unit }) => unit);
  return {
    relay: new RoutedRelay(units, partitions, unitOf, share),
    home: {
      open: (events) => new StoreLink(home.settings, home.log, counters, events),
      prefix: settings.redisPrefix,
      nodes: home.keys.nodes,
    },
    close() {
      for (const { sentinels } of opened) sentinels?.close();
    },
  };
}

/** One relay for each partition, because each can move to another master alone. */
function openCluster(
  settings: RelaySettings,
  seeds: readonly string[],
  partitions: Partitions,
  newRelay: NewRelay,
  log: Log,
  counters: RelayCounters,
): OpenedRelay {
  const share = new RelayShare(settings, partitions.count);
  const usesDurable = settings.topics.uses('durable');
  const clusterSettings = { ...settings, seeds, usesDurable };
  const cluster = new ClusterConnections(clusterSettings, log, counters);
  const units = Array.from({ length: partitions.count }, (_, partition): RelayUnit => {
    const tag = partitions.tagOf(partition);
    const keys = new Keys(settings.redisPrefix, 0, partitions, partition);
    const openLinks = (owner: LinksOwner): RelayLinks => cluster.open(tag, partitions.slotOf(partition), owner);
    const relay = newRelay(keys, openLinks, share, log.child({ partition }));
    return {
      relay,
      get shard() {
        return relay.master ?? 'unknown';
      },
    };
  });
  const home = new Keys(settings.redisPrefix, 0, partitions, 0);
  return {
    relay: new RoutedRelay(units, partitions, (partition) => partition, share),
    home: {
      open: (events) =>
        new ClusterStoreLink(cluster.topology, partitions.slotOf(0), clusterSettings, log, counters, events),
      prefix: `${settings.redisPrefix}:{${partitions.tagOf(0)}}`,
      nodes: home.nodes,
    },
    close: () => void cluster.close(),
  };
}
