/** The `ws` package and ioredis, put together by hand (ws-redis-server.ts). */
import { deployNodesOnRedis } from './node-deployment.js';
import { startScript } from './script.js';
import type { ServerKind } from './server.js';

export const wsRedis: ServerKind = {
  about:
    'ws and ioredis by hand: SUBSCRIBE for each topic with subscribers, PUBLISH for each publication, also on one node',
  protocol: 'ws-redis',
  missing: async () => null,
  start: ({ nodes, env }) => deployNodesOnRedis(nodes, (redisUrl) => startScript('ws-redis-server', [redisUrl], env)),
};
