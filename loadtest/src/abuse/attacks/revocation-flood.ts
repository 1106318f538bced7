/** The HTTP API, with keys that are not good for it. */
import { type Attack, attack } from '../attack.js';
import { tokenOf, wrongKey } from '../keys.js';
import { addressOf } from '../raid.js';

export const revocationFlood: Attack = attack({
  name: 'revocation-flood',
  about: '2000 requests a second to /v1/revocations with a key that nobody has, or with a token of a user',
  // On a busy machine the attackers do not reach the default.
  settings: { FANFARE_HANDSHAKES_PER_SECOND: '200' },
  answers: ['HTTP 401', 'HTTP 403', 'HTTP 503'],
  besides: ['left open'],
  leastSeconds: 1.5,
  run: async (raid) => {
    const body = '{"subject":"ada"}';
    const head = ['POST /v1/revocations HTTP/1.1', 'Host: localhost', `Content-Length: ${body.length}`];
    const tokens = [wrongKey, tokenOf('mallory')];
    await raid.pace(2_000, (n) => {
      const peer = raid.dial({
        from: addressOf(n),
        head: [...head, 'Connection: close', `Authorization: Bearer ${tokens[n % 2]}`],
      });
      peer.write(body);
      void peer.status.then(() => peer.end());
      raid.sent++;
    });
  },
});
