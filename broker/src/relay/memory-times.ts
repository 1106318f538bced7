/** How long nodes remember their publications, so that they can restore them if Redis loses its state (recovery.ts). */

/**
 * How much data Redis may lose, as a time in milliseconds. All nodes together remember what was published in that time. If Redis returns
 * with older data, every topic gets a new epoch.
 */
export const toleratedLossMs = 5_000;

/** Longest time between two heartbeats, in milliseconds (lua/heartbeat.lua). Nodes know the age of the data in Redis this precisely. */
export const maxHeartbeatMs = 1_000;

/** How long a node remembers what it has published, in milliseconds: longer than the tolerated loss, because heartbeats may be late. */
export const rememberMs = toleratedLossMs + 3 * maxHeartbeatMs;

/** For how long after its last heartbeat a node may still have published, in milliseconds: a heartbeat may be late. */
export const signSlackMs = 2 * maxHeartbeatMs;

/**
 * How long after a node's last heartbeat the others still wait for that node if Redis returns without data, in milliseconds. Only that node
 * knows what it published within the tolerated loss.
 */
export const leaseMs = toleratedLossMs + signSlackMs;
