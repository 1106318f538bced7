/** Mosquitto, MQTT over plain TCP: Debian's is built without WebSocket. One process, one thread. */
import { findFreePort } from '@fanfare/local-cluster';
import type { Launcher } from './launcher.js';
import { deployNodes } from './node-deployment.js';
import { missingProgram, startProgram } from './program.js';

const name = 'mosquitto';

export const mosquitto: Launcher = {
  missing: () => missingProgram(name),
  start: ({ nodes }) =>
    deployNodes(nodes, async () => {
      const port = await findFreePort();
      return await startProgram({ name, port, configuration: () => configure(port), args: (file) => ['-c', file] });
    }),
};

/**
 * `max_queued_messages` also limits the QoS 0 messages that wait for a socket. Further ones are dropped silently. 0
 * drops all (#1956).
 */
function configure(port: number): string {
  return `
listener ${port} 127.0.0.1
socket_domain ipv4
allow_anonymous true
persistence false
log_dest none
connection_messages false
sys_interval 0
set_tcp_nodelay true
max_queued_messages 100000
`;
}
