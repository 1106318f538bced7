/**
 * Creates the parts of a node that need Redis. Loaded only if Redis is configured, because ioredis takes time and
 * memory to load.
 */
import type { AuthStore, OnRevoked } from '../auth/auth-store.js';
import { RedisAuthStore } from '../auth/redis-auth-store.js';
import type { Revocations } from '../auth/revocations.js';
import type { Log } from '../observe/log.js';
import type { Counters } from '../observe/metrics.js';
import { SentinelWatch } from '../redis/redis.js';
import { RedisCredentialWatch } from '../redis/redis-credential-watch.js';
import { filesOf } from '../redis/redis-credentials.js';
import type { MemoryTimes } from '../relay/memory-times.js';
import { newNodeId } from '../relay/redis-message.js';
import { RedisRelay } from '../relay/redis-relay.js';
import type { Load, PublishTracer } from '../relay/relay.js';
import type { Config } from '../settings/config.js';
import type { Fanout } from '../topics/fanout.js';

export interface RedisParts {
  readonly relay: RedisRelay;
  /** `known`: the revocations that this node knows. */
  openAuthStore(known: Revocations, onRevoked: OnRevoked): AuthStore;
  /** Call this when the relay is closed. */
  close(): void;
}

/** `load`: the load of this node for the other nodes; null while it takes no connections. */
export function openRedis(
  config: Config & { readonly redisUrl: string; readonly memoryTimes: MemoryTimes },
  fanout: Fanout,
  log: Log,
  counters: Counters,
  load: () => Load | null,
  tracer: PublishTracer | null,
): RedisParts {
  const sentinels = SentinelWatch.start(config, log);
  const settings = { ...config, nodeId: newNodeId(), sentinels };
  const credentialWatch = filesOf(settings).length === 0 ? null : new RedisCredentialWatch(settings, log, counters);
  return {
    relay: new RedisRelay(settings, fanout, log, counters, load, tracer),
    openAuthStore: (known, onRevoked) => new RedisAuthStore(settings, known, onRevoked, log, counters),
    close() {
      credentialWatch?.close();
      sentinels?.close();
    },
  };
}
