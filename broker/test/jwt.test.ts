import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { createApiKey } from '../src/auth/api-keys.js';
import { readAuth } from '../src/auth/auth-config.js';
import { AuthError } from '../src/auth/auth-error.js';
import { Authenticator } from '../src/auth/authenticator.js';
import type { Identity } from '../src/auth/identity.js';
import { Metrics } from '../src/observe/metrics.js';
import { rsa } from './rsa.js';

const secret = 'a secret of more than thirty-two bytes';
const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const ed = generateKeyPairSync('ed25519');
const pem = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString();

const keys = [
  { algorithm: 'HS256', secret, kid: 'h' },
  { algorithm: 'RS256', publicKey: pem(rsa.publicKey), kid: 'r' },
  { algorithm: 'ES256', publicKey: pem(ec.publicKey), kid: 'e' },
  { algorithm: 'EdDSA', publicKey: pem(ed.publicKey), kid: 'd' },
];
const issuer = 'https://id.test';
const document = { issuers: [{ issuer, audience: 'fanfare', keys }] };

const now = (): number => Math.floor(Date.now() / 1_000);
const claims = (): JWTPayload => ({ iss: issuer, aud: 'fanfare', sub: 'ada', iat: now(), exp: now() + 60 });

type SigningKey = Parameters<SignJWT['sign']>[0];

/** Undefined removes a claim. */
type Change = { readonly [claim: string]: unknown };

function sign(
  change: Change = {},
  header: JWTHeaderParameters = { alg: 'HS256' },
  key: SigningKey = Buffer.from(secret),
): Promise<string> {
  const payload = Object.fromEntries(
    Object.entries({ ...claims(), ...change }).filter(([, value]) => value !== undefined),
  );
  return new SignJWT(payload).setProtectedHeader(header).sign(key);
}

/** A token that no library would create. */
function forge(header: object, payload: object = claims(), hmacKey: string | Buffer = secret): string {
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');
  const signed = `${encode(header)}.${encode(payload)}`;
  return `${signed}.${createHmac('sha256', hmacKey).update(signed).digest('base64url')}`;
}

function authenticate(token: string, of: object = document): Promise<Identity> {
  const wrong: string[] = [];
  const config = readAuth(of, null, (sentence) => wrong.push(sentence));
  expect(wrong).toEqual([]);
  return new Authenticator(config, pino({ level: 'silent' }), new Metrics().counters, () => {}).authenticate(token);
}

async function refusal(token: string, of: object = document): Promise<{ code: string; message: string }> {
  const outcome = await authenticate(token, of).catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(AuthError);
  const { code, message } = outcome as AuthError;
  expect(message).toMatch(/^[A-Z].*\.$/s);
  if (token.length > 20) expect(message).not.toContain(token.slice(-20));
  return { code, message };
}

describe('a JWT', () => {
  it.each([
    ['HS256', Buffer.from(secret), 'h'],
    ['RS256', rsa.privateKey, 'r'],
    ['ES256', ec.privateKey, 'e'],
    ['EdDSA', ed.privateKey, 'd'],
  ] as const)('of %s is accepted, with and without its kid', async (alg, key, kid) => {
    for (const header of [{ alg, kid }, { alg }]) {
      const identity = await authenticate(await sign({ jti: 't1' }, header, key));
      expect(identity).toMatchObject({ subject: 'ada', tokenId: 't1', isService: false, isAdmin: false });
      expect(identity.expiresAtMs).toBeGreaterThan(Date.now());
      expect(identity.issuedAtMs).toBeLessThanOrEqual(Date.now());
    }
  });

  it.each<[string, () => string | Promise<string>]>([
    ['of the algorithm "none"', () => `${forge({ alg: 'none' }).split('.').slice(0, 2).join('.')}.`],
    [
      'signed by HMAC with the public key of RS256',
      () => forge({ alg: 'HS256', kid: 'r' }, claims(), pem(rsa.publicKey)),
    ],
    ['signed by HMAC with that public key, without a kid', () => forge({ alg: 'HS256' }, claims(), pem(rsa.publicKey))],
    ['that names one algorithm and is signed with another', () => forge({ alg: 'RS256', kid: 'r' })],
    ['signed with another key', () => sign({}, { alg: 'HS256' }, Buffer.from('another secret of thirty-two bytes!'))],
    ['of a kid that does not exist', () => sign({}, { alg: 'HS256', kid: 'x' })],
    ['of an algorithm that is not accepted', () => sign({}, { alg: 'HS512' }, Buffer.alloc(64, 1))],
  ])('%s is refused', async (_, token) => {
    expect((await refusal(await token())).code).toBe('invalidToken');
  });

  it.each(['crit', 'jku', 'jwk', 'x5u', 'x5c'])(
    'with "%s" in its header is refused, whatever the value is',
    async (name) => {
      expect(await refusal(forge({ alg: 'HS256', [name]: ['x'] }))).toEqual({
        code: 'invalidToken',
        message: `The header of the token has "${name}", which is not accepted.`,
      });
    },
  );

  it.each<[string, Change, string, string]>([
    ['that has expired', { exp: now() - 60 }, 'tokenExpired', 'The token has expired.'],
    ['that does not expire', { exp: undefined }, 'invalidToken', 'The "exp" of the token is missing or wrong.'],
    ['that is not valid yet', { nbf: now() + 60 }, 'invalidToken', 'The "nbf" of the token is missing or wrong.'],
    ['of another audience', { aud: 'other' }, 'invalidToken', 'The "aud" of the token is missing or wrong.'],
    ['without an audience', { aud: undefined }, 'invalidToken', 'The "aud" of the token is missing or wrong.'],
    [
      'of another issuer',
      { iss: 'https://else' },
      'invalidToken',
      'The issuer of the token is not configured on this node.',
    ],
    [
      'without an issuer',
      { iss: undefined },
      'invalidToken',
      'The issuer of the token is not configured on this node.',
    ],
    ['without a subject', { sub: undefined }, 'invalidToken', 'The "sub" of the token is missing or wrong.'],
    [
      'with an empty subject',
      { sub: '' },
      'invalidToken',
      'The "sub" of the token must be 1 to 128 bytes without control characters.',
    ],
    [
      'with a long subject',
      { sub: 'é'.repeat(65) },
      'invalidToken',
      'The "sub" of the token must be 1 to 128 bytes without control characters.',
    ],
    [
      'with a line break in its subject',
      { sub: 'a\nb' },
      'invalidToken',
      'The "sub" of the token must be 1 to 128 bytes without control characters.',
    ],
    [
      'with half a character in its subject',
      { sub: 'a\ud800' },
      'invalidToken',
      'The "sub" of the token must be 1 to 128 bytes without control characters.',
    ],
    [
      'with a subject that contains a right-to-left override',
      { sub: '\u202eada' },
      'invalidToken',
      'The "sub" of the token must be 1 to 128 bytes without control characters.',
    ],
    [
      'with a number as its id',
      { jti: 7 },
      'invalidToken',
      'The "jti" of the token must be 1 to 512 bytes without control characters.',
    ],
    [
      'with an id that is too long to revoke',
      { jti: 'x'.repeat(513) },
      'invalidToken',
      'The "jti" of the token must be 1 to 512 bytes without control characters.',
    ],
    [
      'with the subject of an API key',
      { sub: 'key:orders' },
      'invalidToken',
      'The "sub" of the token must not begin with "key:".',
    ],
    ['from the future', { iat: now() + 60 }, 'invalidToken', 'The "iat" of the token is in the future.'],
    [
      'that is valid for years',
      { exp: now() + 10 ** 8 },
      'invalidToken',
      'The lifetime of the token exceeds the maximum of 86400 s.',
    ],
    [
      'that is valid for years, without a time of issue',
      { iat: undefined, exp: now() + 10 ** 8 },
      'invalidToken',
      'The lifetime of the token exceeds the maximum of 86400 s.',
    ],
    [
      'with invalid grants',
      { fanfare: ['chat'] },
      'invalidToken',
      'Invalid permissions in the claim "fanfare": must be an object such as {"subscribe":["chat.>"]}.',
    ],
    [
      'with grants for an unknown action',
      { fanfare: { dance: ['>'] } },
      'invalidToken',
      'Invalid permissions in the claim "fanfare": action 1 is unknown; valid names: publish, subscribe, presence, history.',
    ],
    [
      'with grants that contain a bad pattern',
      { fanfare: { publish: ['a..b'] } },
      'invalidToken',
      'Invalid permissions in the claim "fanfare": pattern 1 of publish has an empty segment.',
    ],
    [
      'with too many grants',
      { fanfare: { publish: Array(1_001).fill('a') } },
      'invalidToken',
      'Invalid permissions in the claim "fanfare": 1001 patterns exceed the maximum of 1000.',
    ],
  ])('%s is refused with a sentence', async (_, change, code, message) => {
    expect(await refusal(await sign(change))).toEqual({ code, message });
  });

  it('is accepted if its times are wrong by less than the clock skew', async () => {
    await authenticate(await sign({ exp: now() - 2, iat: now() + 3, nbf: now() + 3 }));
  });

  it.each(['', '.', '..', 'a.b.c', 'a.b', 'x'.repeat(8_000), `${'é'.repeat(10)}.x.y`, '{}', 'e30.e30.e30'])(
    'that is not a JWT is refused: %j',
    async (token) => {
      expect((await refusal(token)).code).toBe('invalidToken');
    },
  );

  it('is checked with the keys of its own issuer if another issuer has a key with the same kid', async () => {
    const two = {
      issuers: [
        { issuer: 'https://one', keys: [{ algorithm: 'HS256', secret: '1'.repeat(32), kid: 'k' }] },
        { issuer: 'https://two', keys: [{ algorithm: 'HS256', secret: '2'.repeat(32), kid: 'k' }] },
      ],
    };
    const of = (iss: string, key: string) =>
      sign({ iss, aud: undefined }, { alg: 'HS256', kid: 'k' }, Buffer.from(key.repeat(32)));
    await authenticate(await of('https://one', '1'), two);
    await authenticate(await of('https://two', '2'), two);
    expect((await refusal(await of('https://one', '2'), two)).message).toBe(
      'No key of the issuer matches the signature of the token.',
    );
  });

  it('that names an audience is refused if the node has no audience', async () => {
    const anyone = { issuers: [{ issuer, keys }] };
    await authenticate(await sign({ aud: undefined }), anyone);
    expect((await refusal(await sign(), anyone)).message).toContain('has an audience');
  });
});

describe('an API key', () => {
  it('is accepted exactly as it was issued, and in no other form', async () => {
    const { key, entry } = createApiKey('orders');
    const other = createApiKey('orders');
    const of = { apiKeys: [{ ...entry, permissions: { publish: ['>'] } }] };
    expect(await authenticate(key, of)).toMatchObject({ subject: 'key:orders', isService: true, isAdmin: false });
    for (const wrong of [
      other.key,
      key.slice(0, -1),
      `${key}x`,
      key.replace('orders', 'admin'),
      'fk_',
      'fk___proto___x',
    ]) {
      expect(await refusal(wrong, of)).toEqual({ code: 'invalidToken', message: 'Unknown API key.' });
    }
    expect((await refusal(await sign(), of)).message).toBe('This node accepts API keys only.');
  });
});
