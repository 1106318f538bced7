/** More connections than the limits allow. */
import { type Attack, attack } from '../attack.js';
import { forwardedFor, proxyOf } from '../attackers.js';

export const handshakeFlood: Attack = attack({
  name: 'handshake-flood',
  about: '2000 handshakes a second from many addresses',
  // On a busy machine the attackers do not reach the default.
  settings: { FANFARE_HANDSHAKES_PER_SECOND: '50' },
  answers: ['HTTP 503'],
  besides: ['left open'],
  leastSeconds: 1.5,
  run: (attackers) =>
    attackers.pace(2_000, (n) => {
      const peer = attackers.handshake({ from: proxyOf(n), headers: [forwardedFor(n)] });
      void peer.status.then(() => peer.end());
      attackers.sent++;
    }),
});

export const addressFlood: Attack = attack({
  name: 'address-flood',
  about: '300 connections a second of one address',
  answers: ['HTTP 429'],
  besides: ['left open', 'close 4004'],
  leastSeconds: 1,
  run: (attackers) =>
    attackers.pace(300, () => {
      attackers.handshake({ from: proxyOf(0), headers: [forwardedFor(1)] });
      attackers.sent++;
    }),
});

export const subjectFlood: Attack = attack({
  name: 'subject-flood',
  about: '300 connections a second of one subject',
  answers: ['close 4005'],
  besides: ['left open'],
  leastSeconds: 1,
  run: (attackers) =>
    attackers.pace(300, (n) => {
      void attackers.enterAs('attacker');
      attackers.sent = n + 1;
    }),
});
