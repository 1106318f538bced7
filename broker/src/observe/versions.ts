/** The versions of this release: the labels of `fanfare_build_info`. */
import { protocolVersion } from '@fanfare/protocol';
import { version } from '../files/package-file.js';

/**
 * Version of everything that nodes keep in Redis and send through it. It increases if an older release could not read
 * the data. A node that finds another version, when it connects or with a heartbeat, serves no topic with history
 * (docs/operations.md, Upgrades).
 *
 * Version 3 puts the partition of a topic into its names (relay/keys.ts), and sends through sharded channels.
 */
export const redisLayout = 3;

/** The labels of `fanfare_build_info`. */
export const versions = {
  version,
  protocol: String(protocolVersion),
  redis_layout: String(redisLayout),
} as const;
