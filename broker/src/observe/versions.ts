/** The versions of this release: the labels of `fanfare_build_info`. */
import { protocolVersion } from '@fanfare/protocol';
import { version } from '../files/package-file.js';

/**
 * Version of everything that nodes keep in Redis and send through it. It increases if an older release could not read
 * the data. A node that finds another version, when it connects or with a heartbeat, serves no topic with history
 * (docs/operations.md, Upgrades).
 *
 * Version 2 puts the number of the database into every name, except for database 0 (relay/keys.ts). So database 0 stays
 * at version 1, and its nodes can be upgraded one after the other.
 */
export function redisLayoutOf(database: number): number {
  return database === 0 ? 1 : 2;
}

/** The labels of `fanfare_build_info`. */
export function versionsOf(database: number) {
  return {
    version,
    protocol: String(protocolVersion),
    redis_layout: String(redisLayoutOf(database)),
  };
}
