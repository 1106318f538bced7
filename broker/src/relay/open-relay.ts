/** Creates the relay of a node and its connections to Redis: to one, to several shards, or to a Redis Cluster. */
import type { Log } from '../observe/log.js';
import { nameOf, type Placement, readPlacement } from '../redis/placement.js';
import {
  ClusterConnections,
  ClusterStoreLink,
  type LinksOwner,
  type RedisCounters,
  SentinelWatch,
  StoreLink,
} from '../redis/redis.js';
import { RedisCredentialWatch } from '../redis/redis-credential-watch.js';
import { filesOf } from '../redis/redis-credentials.js';
import { readRedisUrl } from '../redis/redis-url.js';
import { Connections, type ConnectionsSettings } from './connections.js';
import { Keys } from './keys.js';
import { LoneMap } from './lone-map.js';
import { fixedPlaces, PartitionPlaces } from './partition-places.js';
import { Partitions } from './partitions.js';
import { type MapSource, RedisRelay, type RedisRelayCounters, type RedisRelaySettings } from './redis-relay.js';
import type { Load, LocalSubscribers, PublishTracer } from './relay.js';
import type { RelayLinks } from './relay-links.js';
import { RelayPart, RelayShare, type RelayShareSettings } from './relay-share.js';
import { type RelayUnit, RoutedRelay, unknownShard } from './routed-relay.js';
import { type MappedShard, ShardMaps } from './shard-maps.js';

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
  /** See {@link Keys.generation}. */
  readonly generation: string;
  /** The version of the map of partitions in which this Redis has partition 0 to stay; a very high one if it never moves. */
  readonly mapVersion: number;
}

/** Calls the listener with the home: now if it is known, and again when it changes because partition 0 has moved. */
export type FollowHome = (listener: (home: Home) => void) => void;

interface OpenedRelay {
  readonly relay: RoutedRelay;
  readonly followHome: FollowHome;
  /** Call this when the relay and the connections of the home are closed. */
  close(): void;
}

/** Creates the relay of the topics with these names. `log` names the shard if there are several. */
type NewRelay = (
  keys: Keys,
  openLinks: (owner: LinksOwner) => RelayLinks,
  part: RelayPart,
  log: Log,
  maps?: MapSource,
) => RedisRelay;

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
  const newRelay: NewRelay = (keys, openLinks, part, relayLog, maps) =>
    new RedisRelay(settings, keys, openLinks, part, delivery, relayLog, counters, load, tracer, maps);
  const opened = openPlacement(placement, settings, partitions, newRelay, log, counters);
  const credentialWatch = filesOf(settings).length === 0 ? null : new RedisCredentialWatch(settings, log, counters);
  return {
    ...opened,
    close() {
      credentialWatch?.close();
      opened.close();
    },
  };
}

function openPlacement(placement: Placement, ...rest: OpeningArgs): OpenedRelay {
  switch (placement.kind) {
    case 'single':
      return openSingle(placement.url, ...rest);
    case 'shards':
      return openShards(placement.shards, ...rest);
    case 'cluster':
      return openCluster(placement.seeds, ...rest);
  }
}

type OpeningArgs = readonly [
  settings: RelaySettings,
  partitions: Partitions,
  newRelay: NewRelay,
  log: Log,
  counters: RelayCounters,
];

/** One Redis has all partitions under one generation. */
function openSingle(url: string, ...[settings, partitions, newRelay, log, counters]: OpeningArgs): OpenedRelay {
  const share = new RelayShare(settings, partitions.count);
  const server = openServer(url, settings, partitions, log, counters);
  const map = new LoneMap({ name: nameOf(readRedisUrl(url)), exchangeMap: (known) => relay.exchangeMap(known) }, log);
  const relay: RedisRelay = newRelay(server.keys, server.openLinks, new RelayPart(share, partitions.count), log, map);
  const places = fixedPlaces(partitions, () => relay);
  return {
    relay: new RoutedRelay([{ shard: 'redis', relay }], places, share, () => map.fault),
    followHome: (listener) => listener(server.home),
    close: () => server.close(),
  };
}

interface Shard {
  readonly name: string;
  readonly url: string;
}

/** One relay for each shard, which has its partitions under one generation. The map says which ones. */
function openShards(
  shards: readonly Shard[],
  ...[settings, partitions, newRelay, log, counters]: OpeningArgs
): OpenedRelay {
  const share = new RelayShare(settings, partitions.count);
  const opened = shards.map(({ name, url }) => {
    const shardLog = log.child({ shard: name });
    const server = openServer(url, settings, partitions, shardLog, counters);
    const maps: MapSource = {
      isFrozen: (topic) => places.of(topic).frozen === relay,
      learn: () => shardMaps.learn(mapped(name, relay)),
    };
    const relay: RedisRelay = newRelay(server.keys, server.openLinks, new RelayPart(share, 0), shardLog, maps);
    return { shard: name, relay, server };
  });
  const followers: ((home: Home) => void)[] = [];
  let home: Home | null = null;
  let homeShard = '';
  let mapVersion = 0;
  const relays = new Map(opened.map(({ shard, relay }) => [shard, relay]));
  const places = new PartitionPlaces(relays, partitions, counters, (shard, version) => {
    mapVersion = version;
    if (shard === homeShard) return;
    homeShard = shard;
    const { server } = opened.find((each) => each.shard === shard) as (typeof opened)[number];
    const now: Home = {
      ...server.home,
      get mapVersion() {
        return mapVersion;
      },
    };
    home = now;
    for (const listener of followers) listener(now);
  });
  const shardMaps = new ShardMaps(
    opened.map(({ shard, relay }) => mapped(shard, relay)),
    partitions.count,
    places,
    log,
  );
  return {
    relay: new RoutedRelay(opened, places, share, () => shardMaps.fault),
    followHome(listener) {
      followers.push(listener);
      if (home !== null) listener(home);
    },
    close() {
      shardMaps.close();
      for (const { server } of opened) server.close();
    },
  };
}

/** A shard, as the maps need it. */
function mapped(name: string, relay: RedisRelay): MappedShard {
  return {
    name,
    get fault() {
      return relay.fault;
    },
    exchangeMap: (known) => relay.exchangeMap(known),
    reportMap: (version) => relay.reportMap(version),
  };
}

/** What all connections to one Redis, or to one master with its Sentinels, share. */
function openServer(url: string, settings: RelaySettings, partitions: Partitions, log: Log, counters: RelayCounters) {
  const sentinels = SentinelWatch.start({ ...settings, redisUrl: url }, log);
  const own: ConnectionsSettings = { ...settings, redisUrl: url, sentinels };
  const keys = new Keys(settings.redisPrefix, readRedisUrl(url).database, partitions);
  const home: Home = {
    open: (events) => new StoreLink(own, log, counters, events),
    prefix: settings.redisPrefix,
    nodes: keys.nodes,
    generation: keys.generation,
    mapVersion: Number.MAX_SAFE_INTEGER,
  };
  const openLinks = (owner: LinksOwner): RelayLinks => new Connections(own, owner, log, counters);
  return { keys, home, openLinks, close: () => sentinels?.close() };
}

/** One relay for each partition, because each can move to another master alone. */
function openCluster(
  seeds: readonly string[],
  ...[settings, partitions, newRelay, log, counters]: OpeningArgs
): OpenedRelay {
  const share = new RelayShare(settings, partitions.count);
  const usesDurable = settings.topics.uses('durable');
  const clusterSettings = { ...settings, seeds, usesDurable };
  const cluster = new ClusterConnections(clusterSettings, log, counters);
  const units = Array.from({ length: partitions.count }, (_, partition): RelayUnit => {
    const tag = partitions.tagOf(partition);
    const keys = new Keys(settings.redisPrefix, 0, partitions, partition);
    const openLinks = (owner: LinksOwner): RelayLinks => cluster.open(tag, partitions.slotOf(partition), owner);
    const relay = newRelay(keys, openLinks, new RelayPart(share, 1), log.child({ partition }));
    return {
      relay,
      get shard() {
        return relay.master ?? unknownShard;
      },
    };
  });
  const { nodes, generation } = new Keys(settings.redisPrefix, 0, partitions, 0);
  const home: Home = {
    open: (events) =>
      new ClusterStoreLink(cluster.topology, partitions.slotOf(0), clusterSettings, log, counters, events),
    prefix: `${settings.redisPrefix}:{${partitions.tagOf(0)}}`,
    nodes,
    generation,
    mapVersion: Number.MAX_SAFE_INTEGER,
  };
  const places = fixedPlaces(partitions, (partition) => (units[partition] as RelayUnit).relay);
  return {
    relay: new RoutedRelay(units, places, share),
    followHome: (listener) => listener(home),
    close: () => void cluster.close(),
  };
}
