/** Plain ioredis pub/sub between raw sockets (ioredis-server.ts). */
import { deployNodesOnRedis } from './node-deployment.js';
import { startScript } from './script.js';
import type { ServerKind } from './server.js';

export const ioredis: ServerKind = {
  about: 'plain ioredis, one PUBLISH for each publication with automatic pipelines, between raw uWebSockets.js sockets',
  protocol: 'raw',
  missing: async () => null,
  start: ({ nodes, env }) => deployNodesOnRedis(nodes, (redisUrl) => startScript('ioredis-server', [redisUrl], env)),
};
