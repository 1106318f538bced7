/** Creates the relay of a node and its connections to Redis. */
import type { Log } from '../observe/log.js';
import { type RedisSettings, SentinelWatch } from '../redis/redis.js';
import { RedisCredentialWatch } from '../redis/redis-credential-watch.js';
import { filesOf } from '../redis/redis-credentials.js';
import { readRedisUrl } from '../redis/redis-url.js';
import { Connections, type ConnectionsCounters, type ConnectionsSettings } from './connections.js';
import { Keys } from './keys.js';
import { Partitions } from './partitions.js';
import { RedisRelay, type RedisRelayCounters, type RedisRelaySettings } from './redis-relay.js';
import type { Load, LocalSubscribers, PublishTracer } from './relay.js';
import { RelayShare, type RelayShareSettings } from './relay-share.js';
import { RoutedRelay } from './routed-relay.js';

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
  const share = new RelayShare(settings, 1);
  const shard = openShard(settings, log, counters);
  const keys = new Keys(settings.redisPrefix, readRedisUrl(settings.redisUrl).database, partitions);
  const relay = new RedisRelay(
    settings,
    keys,
    (owner) => new Connections(shard.settings, owner, log, counters),
    share,
    delivery,
    log,
    counters,
    load,
    tracer,
  );
  return {
    relay: new RoutedRelay([{ shard: 'redis', relay }], partitions, () => 0, share),
    home: { settings: shard.settings, keys },
    close: () => shard.close(),
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
