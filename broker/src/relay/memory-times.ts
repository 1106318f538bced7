/** How long nodes remember what they have published, for the case that Redis loses its state (recovery.ts). */

/**
 * By how many milliseconds Redis may come back with older data. All nodes together remember what was published in that time. If the data is
 * older, every topic gets another epoch.
 */
export const toleratedLossMs = 5_000;

/** Longest time between two heartbeats, in milliseconds (lua/heartbeat.lua). The age of the data in Redis is known to within this. */
export const maxHeartbeatMs = 1_000;

/** How long a node remembers what it has published, in milliseconds: longer than the tolerated loss, because heartbeats may be late. */
export const rememberMs = toleratedLossMs + 3 * maxHeartbeatMs;

/** For how long after its last heartbeat a node may still have published, in milliseconds: a heartbeat may be late. */
export const signSlackMs = 2 * maxHeartbeatMs;

/**
 * For how long after its last heartbeat a node is waited for if Redis comes back without data, in milliseconds: only that node knows what it
 * published in the time by which the data may be older.
 */
export const leaseMs = toleratedLossMs + signSlackMs;
