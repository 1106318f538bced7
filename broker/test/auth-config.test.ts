/** FANFARE_AUTH: valid documents, and one sentence for each mistake, which repeats no secret. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { AuthConfig } from '../src/auth/auth-config.js';
import { loadConfig } from '../src/settings/config.js';
import { rsa } from './rsa.js';
import { wrong as wrongSettings } from './wrong.js';

const folder = mkdtempSync(join(tmpdir(), 'fanfare-auth-'));
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(content: string | Buffer): string {
  const file = join(folder, 'content');
  writeFileSync(file, content);
  return file;
}

const pem = (key: KeyObject): string =>
  key.export({ type: key.type === 'public' ? 'spki' : 'pkcs8', format: 'pem' }).toString();
const smallRsa = generateKeyPairSync('rsa', { modulusLength: 1_024 });
const pss = generateKeyPairSync('rsa-pss', { modulusLength: 2_048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ec384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
const ed = generateKeyPairSync('ed25519');
const secret = 'hush: this is known to two only, ok';
const issuer = 'https://id.test';

/** The sentences that prevent the start. */
function wrong(document: unknown, environment: Readonly<Record<string, string>> = {}): readonly string[] {
  const text = typeof document === 'string' ? document : JSON.stringify(document);
  const sentences = wrongSettings({ FANFARE_AUTH: text, ...environment });
  for (const sentence of sentences) expect(sentence).not.toContain('hush');
  return sentences;
}

const ofIssuer = (fields: object) => ({ issuers: [{ issuer, ...fields }] });
const ofKey = (key: object) => ofIssuer({ keys: [key] });
const ofApiKey = (fields: object) => ({ apiKeys: [{ id: 'orders', sha256: 'a'.repeat(64), ...fields }] });

describe('FANFARE_AUTH', () => {
  it('allows the node to bind to any address', () => {
    expect(wrong(ofApiKey({}), { FANFARE_HOST: '0.0.0.0' })).toEqual([]);
  });

  it('can be in a file, and so can its keys', () => {
    const secretFile = join(folder, 'secret');
    writeFileSync(secretFile, `${secret}\n`);
    const document = ofIssuer({ keys: [{ algorithm: 'HS256', secretFile }], maxLifetimeSeconds: 60 });
    const { auth } = loadConfig({ FANFARE_AUTH: `@${fileOf(JSON.stringify(document))}` });
    const [only] = (auth as AuthConfig).issuers;
    expect(only).toMatchObject({ issuer, audience: null, jwksUrl: null, clockSkewSeconds: 5, maxLifetimeSeconds: 60 });
    expect(Buffer.from(only?.keys[0]?.key as Uint8Array).toString()).toBe(secret);
  });

  it.each([
    ['HS256', { secret }],
    ['RS256', { publicKey: pem(rsa.publicKey) }],
    ['ES256', { publicKey: pem(ec.publicKey) }],
    ['EdDSA', { publicKey: pem(ed.publicKey) }],
  ])('accepts a key for %s', (algorithm, material) => {
    expect(wrong(ofKey({ algorithm, kid: 'a', ...material }))).toEqual([]);
  });

  it.each(['https://id.test/jwks', 'http://localhost:1/', 'http://127.0.0.1/', 'http://127.9.9.9/', 'http://[::1]:1/'])(
    'accepts the JWKS URL %s',
    (jwksUrl) => expect(wrong(ofIssuer({ jwksUrl }))).toEqual([]),
  );

  it.each([{ url: 'https://hook.test/' }, { url: 'http://127.0.0.1/' }, { url: 'http://hook.test/', allowHttp: true }])(
    'accepts the hook %j',
    (hook) => expect(wrong({ ...ofApiKey({}), hook: { events: ['connect'], ...hook } })).toEqual([]),
  );

  const at = 'FANFARE_AUTH at issuers[0]';
  const key = `${at}.keys[0]: it`;
  const apiKey = 'FANFARE_AUTH at apiKeys[0]: it';
  it.each<[string, unknown, string]>([
    ['nobody', {}, 'FANFARE_AUTH has neither issuers nor apiKeys, so no client could connect. Add one.'],
    ['no JSON', '{"secret":hush}', 'FANFARE_AUTH is neither JSON nor "@" followed by the path of a file.'],
    [
      'a misspelt field',
      { apiKey: [], ...ofApiKey({}) },
      'FANFARE_AUTH has an unknown field, number 1; did you mean apiKeys?',
    ],
    [
      'a misspelt field of an issuer',
      ofIssuer({ jwksUrl: 'https://id.test', jwksURL: 'x' }),
      `${at}: it has an unknown field, number 3; did you mean jwksUrl?`,
    ],
    [
      'another field',
      ofApiKey({ rights: {} }),
      `${apiKey} has an unknown field, number 3; valid names: id, sha256, permissions, admin, messageIdGroup.`,
    ],
    [
      'an invalid messageIdGroup',
      ofApiKey({ messageIdGroup: '' }),
      `${apiKey} has an invalid messageIdGroup: it must be 1 to 64 characters of A-Z a-z 0-9 -.`,
    ],
    ['an issuer that is a string', { issuers: [issuer], ...ofApiKey({}) }, `${at}: it must be an object.`],
    ['no keys', ofIssuer({}), `${at}: it has neither keys nor a jwksUrl, so its tokens cannot be verified. Add one.`],
    [
      'the same issuer twice',
      { issuers: [1, 2].map(() => ({ issuer, jwksUrl: 'https://id.test' })) },
      'FANFARE_AUTH at issuers[1]: it has the same issuer as issuers[0]. Each must be unique.',
    ],
    [
      'the same kid twice',
      ofIssuer({ keys: [1, 2].map(() => ({ algorithm: 'HS256', secret, kid: 'a' })) }),
      `${at}.keys[1]: it has the same kid as keys[0]. Each must be unique.`,
    ],
    [
      'the same API key twice',
      { apiKeys: [...ofApiKey({}).apiKeys, ...ofApiKey({}).apiKeys] },
      'FANFARE_AUTH at apiKeys[1]: it has the same id as apiKeys[0]. Each must be unique.',
    ],
    [
      'a short secret',
      ofKey({ algorithm: 'HS256', secret: 'hush' }),
      `${key} has a secret of 4 bytes. HS256 requires at least 32.`,
    ],
    [
      'a public key as secret',
      ofKey({ algorithm: 'HS256', secret: pem(rsa.publicKey) }),
      `${key} has a PEM key or certificate as its secret. HS256 requires a secret that only the issuer and this node know.`,
    ],
    ['no material', ofKey({ algorithm: 'HS256' }), `${key} needs one of secret and secretFile.`],
    [
      'two sources of one key',
      ofKey({ algorithm: 'HS256', secret, secretFile: 'x' }),
      `${key} needs one of secret and secretFile, not both.`,
    ],
    [
      'a secret for RS256',
      ofKey({ algorithm: 'RS256', secret }),
      `${key} has a secret, which RS256 does not use. Set publicKey or publicKeyFile.`,
    ],
    [
      'a public key for HS256',
      ofKey({ algorithm: 'HS256', publicKey: 'x' }),
      `${key} has a publicKey, which HS256 does not use. Set secret or secretFile.`,
    ],
    [
      'a private key',
      ofKey({ algorithm: 'RS256', publicKey: pem(rsa.privateKey) }),
      `${key} has a private key. Use the public key here, and keep the private key at the issuer.`,
    ],
    ['no PEM', ofKey({ algorithm: 'RS256', publicKey: 'hush' }), `${key} has a public key that is not valid PEM.`],
    [
      'a key of another type',
      ofKey({ algorithm: 'ES256', publicKey: pem(rsa.publicKey) }),
      `${key} has a key of type rsa, which ES256 does not use.`,
    ],
    [
      'an RSA-PSS key',
      ofKey({ algorithm: 'RS256', publicKey: pem(pss.publicKey) }),
      `${key} has a key of type rsa-pss, which RS256 does not use.`,
    ],
    [
      'a small RSA key',
      ofKey({ algorithm: 'RS256', publicKey: pem(smallRsa.publicKey) }),
      `${key} has an RSA key of fewer than 2048 bits.`,
    ],
    [
      'another curve',
      ofKey({ algorithm: 'ES256', publicKey: pem(ec384.publicKey) }),
      `${key} has a key on a curve other than P-256.`,
    ],
    [
      'another algorithm',
      ofKey({ algorithm: 'none', secret }),
      `${key} has an invalid algorithm: it must be one of HS256, RS256, ES256, EdDSA.`,
    ],
    [
      'JWKS over http',
      ofIssuer({ jwksUrl: 'http://id.test/jwks' }),
      `${at}: it has an http jwksUrl to another machine. Anyone who can change its answer could forge tokens. Use https.`,
    ],
    [
      'JWKS at a name that only looks like this machine',
      ofIssuer({ jwksUrl: 'http://127.0.0.1.evil.test/' }),
      `${at}: it has an http jwksUrl to another machine. Anyone who can change its answer could forge tokens. Use https.`,
    ],
    [
      'JWKS with a password',
      ofIssuer({ jwksUrl: 'https://ada:hush@id.test/' }),
      `${at}: it has a jwksUrl with a user name or password, which the node does not send.`,
    ],
    [
      'JWKS in a file',
      ofIssuer({ jwksUrl: 'file:///etc/x' }),
      `${at}: it has a jwksUrl that is neither https nor http.`,
    ],
    ['JWKS nowhere', ofIssuer({ jwksUrl: 'id.test' }), `${at}: it has a jwksUrl that is not a URL.`],
    [
      'algorithms without JWKS',
      ofIssuer({ keys: [{ algorithm: 'HS256', secret }], algorithms: ['RS256'] }),
      `${at}: it has algorithms but no jwksUrl. Remove algorithms: each entry of keys has its own.`,
    ],
    [
      'a published secret',
      ofIssuer({ jwksUrl: 'https://id.test', algorithms: ['HS256'] }),
      `${at}: it has HS256 in algorithms. Remove it: a jwksUrl cannot publish a secret.`,
    ],
    [
      'an invalid hash',
      ofApiKey({ sha256: 'hush' }),
      `${apiKey} has an invalid sha256: it must be 64 hexadecimal digits.`,
    ],
    [
      'an id with the separator of API keys',
      ofApiKey({ id: 'a_b' }),
      `${apiKey} has an invalid id: it must be 1 to 64 characters of A-Z a-z 0-9 -.`,
    ],
    [
      'permissions for an unknown action',
      ofApiKey({ permissions: { read: ['a'] } }),
      `${apiKey} has invalid permissions: action 1 is unknown; valid names: publish, subscribe, presence, history.`,
    ],
    [
      'an invalid pattern',
      ofApiKey({ permissions: { publish: ['a', 'a..b'] } }),
      `${apiKey} has invalid permissions: pattern 2 of publish has an empty segment.`,
    ],
    [
      'a hook with a password',
      { ...ofApiKey({}), hook: { url: 'https://ada:hush@id.test/', events: ['connect'] } },
      'FANFARE_AUTH at hook: it has a url with a user name or password, which the node does not send.',
    ],
    [
      'a hook over http',
      { ...ofApiKey({}), hook: { url: 'http://hook.test/', events: ['connect'] } },
      'FANFARE_AUTH at hook: it has an http url to another machine. Use https, or set "allowHttp": true if only the nodes and the hook are on the network path.',
    ],
    [
      'a hook token that does not fit into a header',
      { ...ofApiKey({}), hook: { url: 'https://hook.test/', events: ['connect'], token: 'hush\n' } },
      'FANFARE_AUTH at hook: it has an invalid token: it must be 1 to 4096 printable ASCII characters without spaces.',
    ],
  ])('stops the start with a sentence about the mistake: %s', (_, document, sentence) => {
    expect(wrong(document)).toEqual([sentence]);
  });

  it('stops the start with the reason why a file cannot be used', () => {
    const secretFile = fileOf(Buffer.alloc(40, 0xff));
    const names = `${key} names a secretFile that`;
    expect(wrong(ofKey({ algorithm: 'HS256', secretFile }))).toEqual([
      `${names} cannot be read: it is not UTF-8 text; store binary secrets in base64, keys and certificates in PEM.`,
    ]);
    const missing = `${secretFile}-missing`;
    expect(wrong(ofKey({ algorithm: 'HS256', secretFile: missing }))).toEqual([
      `${names} cannot be read: there is no file at this path (ENOENT).`,
    ]);
  });

  it('lists all mistakes at once', () => {
    expect(wrong({ issuers: [{}], apiKeys: [{}] })).toEqual([
      `${at}: it has no issuer.`,
      `${at}: it has neither keys nor a jwksUrl, so its tokens cannot be verified. Add one.`,
      `${apiKey} has no id.`,
      `${apiKey} has no sha256.`,
    ]);
  });
});
