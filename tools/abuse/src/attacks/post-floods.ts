/** The HTTP API, with keys that do not permit the request. */
import { randomBytes } from 'node:crypto';
import { type Attack, attack } from '../attack.js';
import { addressOf } from '../attackers.js';
import { tokenOf, wrongKey } from '../keys.js';
import type { Outcome } from '../outcome.js';

const body = '{"subject":"ada"}';

function postFlood(
  name: string,
  what: string,
  answers: readonly Outcome[],
  request: (n: number) => { readonly path: string; readonly token: string },
): Attack {
  return attack({
    name,
    about: `2000 requests a second to ${what}`,
    // On a busy machine the attackers do not reach the default.
    settings: { FANFARE_HANDSHAKES_PER_SECOND: '50' },
    answers: [...answers, 'HTTP 503'],
    besides: ['left open'],
    leastSeconds: 1.5,
    run: (attackers) =>
      attackers.pace(2_000, (n) => {
        const { path, token } = request(n);
        const head = [
          `POST ${path} HTTP/1.1`,
          'Host: localhost',
          `Content-Length: ${body.length}`,
          'Connection: close',
        ];
        const peer = attackers.dial({ from: addressOf(n), head: [...head, `Authorization: Bearer ${token}`] });
        peer.write(body);
        void peer.status.then(() => peer.end());
        attackers.sent++;
      }),
  });
}

const tokens = [wrongKey, tokenOf('attacker')] as const;

export const revocationFlood = postFlood(
  'revocation-flood',
  '/v1/revocations with an unknown key, or with a token of a user',
  ['HTTP 401', 'HTTP 403'],
  (n) => ({ path: '/v1/revocations', token: tokens[n % 2] ?? '' }),
);

const paths = ['/v1/revocations', '/v1/tickets'] as const;

export const fakeKeyFlood = postFlood(
  'fake-key-flood',
  '/v1/revocations and /v1/tickets, each with a different text that looks like an API key',
  ['HTTP 401'],
  (n) => ({ path: paths[n % 2] ?? '', token: `fk_nobody${n % 10}_${randomBytes(24).toString('base64url')}` }),
);
