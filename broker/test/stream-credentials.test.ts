/** Which key a stream credential was made with, if issuers publish their keys and change them. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import type { AuthConfig, Issuer, IssuerKey } from '../src/auth/auth-config.js';
import { Authenticator } from '../src/auth/authenticator.js';
import type { Identity } from '../src/auth/identity.js';
import { Permissions } from '../src/auth/permissions.js';
import { until } from './wait.js';

const secret = Buffer.from('the key of the cluster');
const publicKey = (): KeyObject => generateKeyPairSync('ed25519').publicKey;

async function jwksServer(answer: (response: ServerResponse) => void) {
  const server = createServer((_, response) => answer(response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return {
    jwksUrl,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

const issuerOf = (issuer: string, keys: readonly IssuerKey[], jwksUrl: string | null): Issuer => ({
  issuer,
  audience: null,
  algorithms: ['EdDSA'],
  keys,
  jwksUrl,
  clockSkewSeconds: 0,
  maxLifetimeSeconds: 3_600,
});

function authenticatorOf(issuers: readonly Issuer[]) {
  const counters = { jwksFetches: 0, jwksFailures: 0 };
  const config: AuthConfig = { issuers, apiKeys: [], hook: null, files: [] };
  const authenticator = new Authenticator(config, pino({ level: 'silent' }), counters, () => {});
  return { authenticator, counters, config };
}

const identityOf = (issuer: string, signedWith: IssuerKey): Identity => ({
  issuer,
  subject: 'anna',
  signedWith,
  tokenId: null,
  issuedAtMs: null,
  expiresAtMs: null,
  acceptedUntilMs: null,
  permissions: new Permissions({}),
  isService: false,
  messageIdGroup: null,
  isAdmin: false,
});

it('asks no issuer but the one whose key it was', async () => {
  // It never answers.
  await using silent = await jwksServer(() => {});
  const key: IssuerKey = { algorithm: 'EdDSA', kid: null, key: publicKey() };
  const { authenticator, counters } = authenticatorOf([
    issuerOf('https://slow.test', [], silent.jwksUrl),
    issuerOf('https://id.test', [key], null),
  ]);
  const name = authenticator.keyNameOf(identityOf('https://id.test', key), secret);
  expect(await authenticator.findKey(name, 'anna', secret)).toMatchObject({ signedWith: key });
  const other = authenticator.keyNameOf(identityOf('https://id.test', { ...key, key: publicKey() }), secret);
  expect(await authenticator.findKey(other, 'anna', secret)).toBeNull();
  const unknown = authenticator.keyNameOf(identityOf('https://gone.test', key), secret);
  expect(await authenticator.findKey(unknown, 'anna', secret)).toBeNull();
  // The read at the start is still waiting.
  expect(counters).toEqual({ jwksFetches: 1, jwksFailures: 0 });
  authenticator.close();
});

it('is refused for good if the issuer has removed the key, and for now if the key may be new', async () => {
  const [kept, removed, added] = [publicKey(), publicKey(), publicKey()];
  const jwkOf = (key: KeyObject, kid: string): object => ({ ...key.export({ format: 'jwk' }), kid });
  let keys = [jwkOf(kept, 'kept'), jwkOf(removed, 'removed')];
  await using server = await jwksServer((response) => response.end(JSON.stringify({ keys })));
  const issuer = issuerOf('https://id.test', [], server.jwksUrl);
  const { authenticator, counters, config } = authenticatorOf([issuer]);
  const nameOf = (key: KeyObject): Buffer =>
    authenticator.keyNameOf(identityOf('https://id.test', { algorithm: 'EdDSA', kid: null, key }), secret);
  const find = (key: KeyObject): Promise<unknown> => authenticator.findKey(nameOf(key), 'anna', secret);
  expect(await find(removed)).toMatchObject({ issuer: 'https://id.test' });
  // Another URL makes the node read the keys at once.
  keys = [jwkOf(kept, 'kept')];
  authenticator.replace({ ...config, issuers: [{ ...issuer, jwksUrl: `${server.jwksUrl}other` }] });
  await until('the keys are read', () => counters.jwksFetches === 2);
  await until('the key is removed', async () => (await find(removed)) === null);
  await expect(find(added)).rejects.toMatchObject({ code: 'unavailable' });
  expect(await find(kept)).toMatchObject({ issuer: 'https://id.test' });
  authenticator.close();
});
