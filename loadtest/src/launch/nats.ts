/** nats-server over WebSocket. Several nodes are a cluster: full mesh of routes, no Redis. */
import { findFreePort } from '@fanfare/local-cluster';
import type { Launcher } from './launcher.js';
import { deployNodes } from './node-deployment.js';
import { missingProgram, startProgram } from './program.js';

const name = 'nats-server';

interface Ports {
  readonly webSocket: number;
  readonly routes: number;
}

export const nats: Launcher = {
  missing: () => missingProgram(name),
  async start({ nodes }) {
    const ports: Ports[] = [];
    for (let node = 0; node < nodes; node++) {
      ports.push({ webSocket: await findFreePort(), routes: await findFreePort() });
    }
    const routes = ports.map(({ routes }) => `nats-route://127.0.0.1:${routes}`);
    return await deployNodes(nodes, (index) => {
      const own = ports[index] as Ports;
      return startProgram({
        name,
        port: own.webSocket,
        configuration: () => configure(own, index, nodes === 1 ? null : routes),
        args: (file) => ['--config', file],
      });
    });
  },
};

/**
 * The limit of unsent bytes per connection is the default, 64 MiB. The TCP port is random (-1), because no client uses
 * it.
 */
function configure(ports: Ports, index: number, routes: readonly string[] | null): string {
  return `
server_name: node-${index}
listen: "127.0.0.1:-1"
log_file: "/dev/null"
max_connections: 100000
max_payload: 16MB
websocket {
  listen: "127.0.0.1:${ports.webSocket}"
  no_tls: true
  compression: false
}
${
  routes === null
    ? ''
    : `cluster {
  name: "load"
  listen: "127.0.0.1:${ports.routes}"
  routes: ${JSON.stringify(routes)}
}`
}
`;
}
