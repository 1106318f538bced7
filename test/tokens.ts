/** Settings of a broker that requires tokens, and tokens for it. */
import { createHmac } from 'node:crypto';

const secret = 'a secret that only this test knows';
const auth = {
  issuers: [{ issuer: 'test', clockSkewSeconds: 0, keys: [{ algorithm: 'HS256', secret }] }],
};

/** Settings of a node that accepts {@link tokenOf}. */
export const env = { FANFARE_AUTH: JSON.stringify(auth) };

export function tokenOf(subject: string, permissions: object, seconds: number): string {
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');
  const now = Math.floor(Date.now() / 1_000);
  const claims = { iss: 'test', sub: subject, iat: now, exp: now + seconds, fanfare: permissions };
  const signed = `${encode({ alg: 'HS256' })}.${encode(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}
