/**
 * The port of probes and metrics, which answers without authentication. Probes continue during every attack
 * (attack-run.ts).
 */
import { type Attack, attack } from '../attack.js';
import { addressOf } from '../attackers.js';

/** Each, at a node. */
const sockets = 200;
const perSecond = 50;

export const idleAdminSockets: Attack = attack({
  name: 'idle-admin-sockets',
  about: `${sockets} silent sockets from one address and ${sockets} from other addresses on the admin port; ${perSecond} a second are opened again`,
  answers: ['cut off'],
  besides: ['HTTP 408', 'left open'],
  // A node allows 128.
  leastSeconds: 6,
  run: async (attackers) => {
    const { adminPorts } = attackers.target;
    await attackers.pace(perSecond * adminPorts.length, (n) => {
      if (attackers.open >= 2 * sockets * adminPorts.length) return;
      attackers.dial({ port: adminPorts[n % adminPorts.length], from: n % 2 === 0 ? '127.0.0.2' : addressOf(n) });
      attackers.sent++;
    });
  },
});
