/** The `ws` package and ioredis, put together by hand (ws-redis-server.ts). */

import type { Launcher } from './launcher.js';
import { deployNodesOnRedis } from './node-deployment.js';
import { startScript } from './script.js';

export const wsRedis: Launcher = {
  missing: async () => null,
  start: ({ nodes, env }) => deployNodesOnRedis(nodes, (redisUrl) => startScript('ws-redis-server', [redisUrl], env)),
};
