/** Aedes, MQTT over WebSocket (aedes-server.ts). */
import { deployNodes } from './node-deployment.js';
import { startScript } from './script.js';
import type { ServerKind } from './server.js';

export const aedes: ServerKind = {
  about: 'Aedes, MQTT 3.1.1 at QoS 0 over WebSocket (ws), in memory',
  protocol: 'mqtt-websocket',
  missing: async () => null,
  isAlone: true,
  start: ({ nodes, env }) => deployNodes(nodes, () => startScript('aedes-server', [], env)),
};
