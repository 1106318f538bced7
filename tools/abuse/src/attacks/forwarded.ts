/** One client behind a trusted proxy that does not write plain addresses in its header. */
import { type Attack, attack } from '../attack.js';
import { proxyOf } from '../attackers.js';

/** The default limit of connections from one address to one node (docs/configuration.md). */
const limit = 100;
/** Tolerance: the node may count a connection as closed before the attacker does. */
const slack = 1.2;

function forwarded(name: string, what: string, addresses: number, write: (n: number) => string): Attack {
  return attack({
    name,
    about: `300 connections a second of one client, ${what}`,
    answers: ['HTTP 429'],
    besides: ['left open', 'close 4004'],
    leastSeconds: 2,
    run: async (attackers) => {
      const allowed = limit * addresses * attackers.target.ports.length;
      let inside = 0;
      await attackers.pace(300 * attackers.target.ports.length, (n) => {
        const peer = attackers.handshake({ from: proxyOf(0), headers: [`X-Forwarded-For: ${write(n)}`] });
        attackers.sent++;
        void peer.status.then((status) => {
          if (status !== 101) return;
          if (++inside > allowed * slack) attackers.fault(`the node accepted more than ${allowed} connections`);
          void peer.ended.then(() => inside--);
        });
      });
    },
  });
}

const withPorts = [
  (n: number) => `203.0.113.7:${1_024 + n}`,
  (n: number) => `[2001:db8::${n.toString(16)}]:${1_024 + n}`,
  (n: number) => `198.51.100.${n % 256}, 203.0.113.7:${1_024 + n}`,
  (n: number) => `[2001:db8::${n.toString(16)}]`,
  (n: number) => `"[2001:db8::${n.toString(16)}]:${1_024 + n}"`,
];

export const forwardedPorts = forwarded(
  'forwarded-ports',
  'with an IPv4 and an IPv6 address, which the proxy writes with ports and brackets',
  2,
  (n) => withPorts[n % withPorts.length]?.(n % 60_000) ?? '',
);

const garbage = [
  (n: number) => `unknown-${n}`,
  (n: number) => `_hidden${n}`,
  (n: number) => `203.0.113.${n % 256}.${n}`,
  (n: number) => `[2001:db8::${n.toString(16)}`,
  (n: number) => `203.0.113.7:${n}x`,
  (n: number) => `"${n}",,;%00`,
  () => '',
];

export const forwardedGarbage = forwarded(
  'forwarded-garbage',
  'with a different text in X-Forwarded-For each time, never an address',
  1,
  (n) => garbage[n % garbage.length]?.(n) ?? '',
);
