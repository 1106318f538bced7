/** Fanfare's own nodes, at each level and encoding. */
import { startNode } from '@fanfare/local-cluster';
import type { Deployment } from '../load/deployment.js';
import type { ProtocolName } from '../protocols/protocols.js';
import { deployNodes, deployNodesOnRedis } from './node-deployment.js';
import type { ServerKind, StartOptions } from './server.js';

type Level = 'fast' | 'recoverable';

export function fanfare(level: Level, protocol: ProtocolName & ('msgpack' | 'json')): ServerKind {
  return {
    about: `Fanfare, level ${level}, ${protocol === 'json' ? 'JSON' : 'MessagePack'}`,
    protocol,
    missing: async () => null,
    start: (options) => startFanfare(level, options),
  };
}

/** Those beside us let everybody in at once, and so do we: what limits cost is measured by `npm run abuse`. */
const openDoors = { FANFARE_HANDSHAKES_PER_SECOND: '1000000', FANFARE_MAX_CONNECTIONS: '1000000' };

export async function startFanfare(level: Level, { nodes, env }: StartOptions): Promise<Deployment> {
  const settings = { ...openDoors, FANFARE_TOPICS: JSON.stringify({ '>': { level } }), ...env };
  return nodes === 1
    ? await deployNodes(nodes, () => startNode({ env: settings }))
    : await deployNodesOnRedis(nodes, (redisUrl) => startNode({ env: settings, redisUrl }));
}
