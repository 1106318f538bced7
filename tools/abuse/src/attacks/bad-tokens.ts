/** Invalid tokens: half of them in the header, half in `connect`. */
import { randomBytes } from 'node:crypto';
import { type Attack, attack } from '../attack.js';
import { addressOf } from '../attackers.js';
import { tokenOf } from '../keys.js';
import type { Outcome } from '../outcome.js';

const perSecond = 300;

function badTokens(name: string, what: string, answers: readonly Outcome[], make: () => string): Attack {
  return attack({
    name,
    about: `${what}, ${perSecond} a second`,
    answers,
    run: (attackers) =>
      attackers.pace(perSecond, (n) => {
        const token = make();
        const headers = n % 2 === 0 ? [`Authorization: Bearer ${token}`] : [];
        const peer = attackers.handshake({ from: addressOf(n), headers });
        if (n % 2 === 1) void peer.status.then(() => peer.send({ type: 'connect', id: 1, token }));
        attackers.sent++;
      }),
  });
}

const notAccepted: readonly Outcome[] = ['error invalidToken', 'close 4502'];

export const randomTokens = badTokens('random-tokens', 'tokens with a random signature', notAccepted, () => {
  const [head, payload] = tokenOf('admin').split('.');
  return `${head}.${payload}.${randomBytes(32).toString('base64url')}`;
});

export const expiredTokens = badTokens('expired-tokens', 'expired tokens', ['error tokenExpired', 'close 4003'], () =>
  tokenOf('ada', { expiresInSeconds: -60 }),
);

export const unsignedTokens = badTokens('unsigned-tokens', 'tokens with the algorithm `none`', notAccepted, () =>
  tokenOf('admin', { algorithm: 'none' }),
);
