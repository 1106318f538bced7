/** Socket.IO with one of its Redis adapters (socketio-server.ts). */
import type { Launcher } from './launcher.js';
import { deployNodesOnRedis } from './node-deployment.js';
import { startScript } from './script.js';

export function socketio(args: readonly string[]): Launcher {
  return {
    missing: async () => null,
    start: ({ nodes, env }) =>
      deployNodesOnRedis(nodes, (redisUrl) => startScript('socketio-server', [redisUrl, ...args], env)),
  };
}
