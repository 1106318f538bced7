/** Authentication of the nodes under attack: the issuer of tokens, the API keys, and the tokens. */
import { createHash, createHmac } from 'node:crypto';

const issuer = 'https://id.abuse.test';
const secret = 'known to the attackers of this machine only';

/** The API key of a service that may publish to all topics, at any rate. */
export const serviceKey = 'fk_app_Hq3sT6vW9yZ2bC5dE8fG1hJ4kL7mN0pR';
/** The API key of the operator, who may revoke tokens. */
export const adminKey = 'fk_operator_Xk2mC7nB4vR9tL6qW3eY8uI1oP5aS0dF';
/** An API key that the node does not know. */
export const wrongKey = 'fk_app_00000000000000000000000000000000';

/** FANFARE_AUTH. `hookUrl`: the backend that authorizes subscriptions; null: none. */
export function authSetting(hookUrl: string | null): string {
  return JSON.stringify({
    issuers: [{ issuer, audience: 'fanfare', keys: [{ algorithm: 'HS256', secret }] }],
    apiKeys: [
      { id: 'app', sha256: sha256(serviceKey), permissions: { publish: ['>'] } },
      { id: 'operator', sha256: sha256(adminKey), permissions: {}, admin: true },
    ],
    ...(hookUrl === null ? {} : { hook: { url: hookUrl, events: ['subscribe'] } }),
  });
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

export interface Claims {
  readonly algorithm?: 'HS256' | 'none';
  /** From now. */
  readonly expiresInSeconds?: number;
  /** Topic patterns for which the token grants everything. */
  readonly topics?: readonly string[];
}

export function tokenOf(subject: string, claims: Claims = {}): string {
  const { algorithm = 'HS256', expiresInSeconds = 3_600, topics = ['>'] } = claims;
  const now = Math.floor(Date.now() / 1_000);
  const payload = {
    iss: issuer,
    aud: 'fanfare',
    sub: subject,
    iat: now + Math.min(0, expiresInSeconds) - 1,
    exp: now + expiresInSeconds,
    fanfare: { publish: topics, subscribe: topics, history: topics },
  };
  const signed = `${encode({ alg: algorithm, typ: 'JWT' })}.${encode(payload)}`;
  const signature = algorithm === 'none' ? '' : createHmac('sha256', secret).update(signed).digest('base64url');
  return `${signed}.${signature}`;
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}
