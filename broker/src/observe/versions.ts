/** What of this release others must understand: `fanfare_build_info` has it as labels. */
import { readFileSync } from 'node:fs';
import { protocolVersion } from '@fanfare/protocol';

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  readonly version: string;
};

/**
 * Version of all that nodes keep in Redis and send through it. It rises if an older release could not read it; nodes that find
 * another one, when they connect or with a heartbeat, serve no topic with history (docs/operations.md, Upgrades).
 *
 * 1: the first one. 2: the names of databases other than 0 carry the number of the database (relay/keys.ts). Database 0 has the same names in
 * both and stays at 1, so that its nodes can be upgraded one after the other.
 */
export function redisLayoutOf(database: number): number {
  return database === 0 ? 1 : 2;
}

/** The labels of `fanfare_build_info`. */
export function versionsOf(database: number) {
  return {
    /** As in package.json. */
    version: manifest.version,
    protocol: String(protocolVersion),
    redis_layout: String(redisLayoutOf(database)),
  };
}
