/** uWebSockets.js with nothing on top (raw-server.ts). One process: it knows no others. */
import { deployNodes } from './node-deployment.js';
import { startScript } from './script.js';
import type { ServerKind } from './server.js';

export function raw(isDeferred: boolean): ServerKind {
  return {
    about: isDeferred
      ? 'uWebSockets.js with nothing on top; publishes after the handler has returned'
      : 'uWebSockets.js with nothing on top; publishes in the handler, as its examples do',
    protocol: 'raw',
    missing: async () => null,
    isAlone: true,
    start: ({ nodes, env }) =>
      deployNodes(nodes, () => startScript('raw-server', isDeferred ? ['--deferred'] : [], env)),
  };
}
