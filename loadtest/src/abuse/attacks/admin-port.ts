/** The port of probes and metrics, which answers whoever reaches it. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Attack, attack } from '../attack.js';
import { addressOf } from '../raid.js';

const sockets = 300;
const probe = ['GET /healthz HTTP/1.1', 'Host: localhost', 'Connection: close'];
const probeMs = 5_000;

export const idleAdminSockets: Attack = attack({
  name: 'idle-admin-sockets',
  about: `${sockets} sockets of one address and as many of others that send nothing to the admin port, opened again when they are cut off; a probe each 250 ms`,
  answers: ['cut off', 'HTTP 200'],
  besides: ['HTTP 408', 'left open'],
  leastSeconds: 3,
  run: async (raid) => {
    const { adminPorts } = raid.target;
    let probes = 0;
    let failed = 0;
    const holding = raid.pace(200 * adminPorts.length, (n) => {
      if (raid.open >= 2 * sockets * adminPorts.length) return;
      raid.dial({ port: adminPorts[n % adminPorts.length], from: n % 2 === 0 ? '127.0.0.2' : addressOf(n) });
      raid.sent++;
    });
    await raid.pace(4, async (n) => {
      const peer = raid.dial({ port: adminPorts[n % adminPorts.length], head: probe });
      probes++;
      if ((await Promise.race([peer.status, delay(probeMs, 0)])) === 200) return;
      failed++;
    });
    await holding;
    if (failed > 0) raid.fault(`${failed} of ${probes} probes failed`);
  },
});
