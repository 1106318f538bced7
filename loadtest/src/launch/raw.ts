/** uWebSockets.js with nothing on top (raw-server.ts). One process only: it does not connect to others. */
import type { Launcher } from './launcher.js';
import { deployNodes } from './node-deployment.js';
import { startScript } from './script.js';

export function raw(isDeferred: boolean): Launcher {
  return {
    missing: async () => null,
    start: ({ nodes, env }) =>
      deployNodes(nodes, () => startScript('raw-server', isDeferred ? ['--deferred'] : [], env)),
  };
}
