/** Plain ioredis pub/sub between raw sockets (ioredis-server.ts). */

import type { Launcher } from './launcher.js';
import { deployNodesOnRedis } from './node-deployment.js';
import { startScript } from './script.js';

export const ioredis: Launcher = {
  missing: async () => null,
  start: ({ nodes, env }) => deployNodesOnRedis(nodes, (redisUrl) => startScript('ioredis-server', [redisUrl], env)),
};
