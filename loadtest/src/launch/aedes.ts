/** Aedes, MQTT over WebSocket (aedes-server.ts). */

import type { Launcher } from './launcher.js';
import { deployNodes } from './node-deployment.js';
import { startScript } from './script.js';

export const aedes: Launcher = {
  missing: async () => null,
  start: ({ nodes, env }) => deployNodes(nodes, () => startScript('aedes-server', [], env)),
};
