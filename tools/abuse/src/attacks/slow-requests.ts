/** Slowloris: requests that arrive byte by byte and never end. */
import { type Attack, attack } from '../attack.js';
import { type Attackers, addressOf, handshake } from '../attackers.js';

const connections = 200;
const perSecond = 20;

async function drip(attackers: Attackers, head: readonly string[], byte: string): Promise<void> {
  const peers = Array.from({ length: connections }, (_, n) => attackers.dial({ from: addressOf(n) }));
  for (const peer of peers) peer.write(head.join('\r\n'));
  attackers.sent = connections;
  await attackers.pace(perSecond, (turn) => {
    // Half of them stop after 3 s: a byte behind the node's answer resets the connection, and the answer may be lost.
    for (const peer of turn < 3 * perSecond ? peers : peers.slice(connections / 2)) peer.write(byte);
  });
}

/** The node waits 10 s for the head of a request, checked every 4 s, and 5 s for a body. */
const leastSeconds = 15;

export const slowHandshake: Attack = attack({
  name: 'slow-handshake',
  about: `${connections} connections whose handshake comes byte by byte and never ends`,
  answers: ['cut off'],
  leastSeconds,
  run: (attackers) => drip(attackers, [...handshake, 'X-Slow: '], 'a'),
});

export const slowBody: Attack = attack({
  name: 'slow-body',
  about: `${connections} requests to /v1/tickets whose body comes byte by byte`,
  answers: ['HTTP 408'],
  // A reset follows the answer if more of the body arrives, and may overtake it.
  besides: ['cut off'],
  leastSeconds,
  run: (attackers) => {
    const head = ['POST /v1/tickets HTTP/1.1', 'Host: localhost', 'Authorization: Bearer x', 'Content-Length: 4000'];
    return drip(attackers, [...head, '', ''], 'a');
  },
});

export const bareConnections: Attack = attack({
  name: 'bare-connections',
  about: '2000 TCP connections that send nothing',
  answers: ['cut off'],
  leastSeconds,
  run: async (attackers) => {
    await attackers.pace(1_000, (n) => {
      if (n >= 2_000) return;
      attackers.dial({ from: addressOf(n) });
      attackers.sent++;
    });
  },
});
