/** What of this release others must understand: `fanfare_build_info` has it as labels. */
import { readFileSync } from 'node:fs';
import { protocolVersion } from '@fanfare/protocol';

const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  readonly version: string;
};

/**
 * Version of all that nodes keep in Redis and send through it. It goes up where an older release could not read it; nodes that find
 * another one, when they connect or with a heartbeat, serve no topic with history (docs/operations.md, Upgrades).
 */
export const redisLayout = 1;

export const versions = {
  /** As in package.json. */
  version: manifest.version,
  protocol: String(protocolVersion),
  redis_layout: String(redisLayout),
} as const;
