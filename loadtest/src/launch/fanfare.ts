/** Fanfare's own nodes. */
import { startNode } from '@fanfare/local-cluster';
import type { Launcher } from './launcher.js';
import { deployNodes, deployNodesOnRedis } from './node-deployment.js';

/** The other servers have no such limits. `npm run abuse` measures what these limits cost. */
const noLimits = { FANFARE_HANDSHAKES_PER_SECOND: '1000000', FANFARE_MAX_CONNECTIONS: '1000000' };

export function fanfare(level: 'fast' | 'recoverable' | 'durable'): Launcher {
  return {
    missing: async () => null,
    start: async ({ nodes, env }) => {
      const settings = { ...noLimits, FANFARE_TOPICS: JSON.stringify({ '>': { level } }), ...env };
      // Level durable is a promise about Redis, so even a single node gets a Redis.
      const isDurable = level === 'durable';
      return nodes === 1 && !isDurable
        ? await deployNodes(nodes, () => startNode({ env: settings }))
        : await deployNodesOnRedis(nodes, (redisUrl) => startNode({ env: settings, redisUrl }), isDurable);
    },
  };
}
