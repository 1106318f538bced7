/**
 * Creates the parts of a node that need Redis. Loaded only if Redis is configured, because ioredis takes time and
 * memory to load.
 */
import type { AuthStore, OnRevoked } from '../auth/auth-store.js';
import { RedisAuthStore } from '../auth/redis-auth-store.js';
import type { Revocations } from '../auth/revocations.js';
import type { Log } from '../observe/log.js';
import type { Counters } from '../observe/metrics.js';
import type { MemoryTimes } from '../relay/memory-times.js';
import { openRelay } from '../relay/open-relay.js';
import { newNodeId } from '../relay/redis-message.js';
import type { Load, PublishTracer, Relay } from '../relay/relay.js';
import type { Config } from '../settings/config.js';
import type { Fanout } from '../topics/fanout.js';

export interface RedisParts {
  readonly relay: Relay;
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
  const settings = { ...config, nodeId: newNodeId() };
  const { relay, followHome, close } = openRelay(settings, fanout, log, counters, load, tracer);
  return {
    relay,
    openAuthStore: (known, onRevoked) => new RedisAuthStore(settings, followHome, known, onRevoked),
    close,
  };
}
