/** Socket.IO behind one of its Redis adapters (socketio-server.ts). */
import { deployNodesOnRedis } from './node-deployment.js';
import { startScript } from './script.js';
import type { ServerKind } from './server.js';

interface Variant {
  /** Shown in reports. */
  readonly about: string;
  readonly args: readonly string[];
}

export function socketio({ about, args }: Variant): ServerKind {
  return {
    about: `Socket.IO, WebSocket only, ${about}; also on one node with the Redis adapter, as it is deployed`,
    protocol: 'socketio',
    missing: async () => null,
    start: ({ nodes, env }) =>
      deployNodesOnRedis(nodes, (redisUrl) => startScript('socketio-server', [redisUrl, ...args], env)),
  };
}
