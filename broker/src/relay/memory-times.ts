/** How long nodes remember their publications, so that they can restore them if Redis loses its state (recovery.ts). */

/** All in milliseconds. */
export interface MemoryTimes {
  /**
   * How much data Redis may lose, as a time. All nodes together remember what was published in that time. If Redis
   * returns with older data, every topic gets a new epoch.
   */
  readonly toleratedLossMs: number;
  /**
   * Longest time between two heartbeats (lua/heartbeat.lua). Nodes know the age of the data in Redis with this
   * precision.
   */
  readonly maxHeartbeatMs: number;
  /**
   * How long a node remembers what it has published: longer than the tolerated loss, because heartbeats may be late.
   */
  readonly rememberMs: number;
  /** For how long after its last heartbeat a node may still have published: a heartbeat may be late. */
  readonly signSlackMs: number;
  /**
   * How long after a node's last heartbeat the others still wait for that node if Redis returns without data. Only that
   * node knows what it published within the tolerated loss.
   */
  readonly leaseMs: number;
}

/** The durations that follow from these two. */
export function memoryTimesOf(toleratedLossMs: number, maxHeartbeatMs: number): MemoryTimes {
  const signSlackMs = 2 * maxHeartbeatMs;
  return {
    toleratedLossMs,
    maxHeartbeatMs,
    rememberMs: toleratedLossMs + 3 * maxHeartbeatMs,
    signSlackMs,
    leaseMs: toleratedLossMs + signSlackMs,
  };
}

/**
 * The durations of every node. They are no setting, because all nodes of a broker need the same. Some tests use shorter
 * ones.
 */
export const memoryTimes = memoryTimesOf(5_000, 1_000);
