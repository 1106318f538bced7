import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import type { IssuerKey } from '../src/auth/auth-config.js';
import { AuthError } from '../src/auth/auth-error.js';
import { JwksKeys, retryMs } from '../src/auth/jwks.js';
import { rsa as sharedRsa } from './rsa.js';

const closing: Array<() => void> = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const jwkOf = (key: KeyObject, kid: string, more: object = {}): object => ({
  ...key.export({ format: 'jwk' }),
  kid,
  ...more,
});
const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey;
const ed = generateKeyPairSync('ed25519').publicKey;
const rsa = sharedRsa.publicKey;

type Answer = (response: ServerResponse) => void;
const say =
  (keys: readonly object[]): Answer =>
  (response) =>
    response.end(JSON.stringify({ keys }));

/** Keys of a server on this machine. The test can change its answer and its clock. */
async function keysOf(first: Answer) {
  const at = { answer: first, nowMs: 1_000_000, requests: 0, removals: 0 };
  const server: Server = createServer((_, response) => {
    at.requests++;
    at.answer(response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const lines: { event: string; msg: string }[] = [];
  const counters = { jwksFetches: 0, jwksFailures: 0 };
  const keys = new JwksKeys(
    {
      jwksUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`,
      algorithms: ['RS256', 'ES256', 'EdDSA'],
    },
    null,
    'issuers[0]',
    pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) }),
    counters,
    () => at.removals++,
    () => at.nowMs,
  );
  closing.push(() => {
    keys.close();
    server.closeAllConnections();
    server.close();
  });
  return { keys, at, lines, counters };
}

const withKid =
  (kid: string | null) =>
  (key: IssuerKey): boolean =>
    kid === null || key.kid === kid;

const found = async (keys: JwksKeys, kid: string | null): Promise<readonly (string | null)[]> =>
  (await keys.find(withKid(kid))).map((key) => `${key.kid} ${key.algorithm}`);

async function unavailable(keys: JwksKeys, kid: string): Promise<string> {
  const outcome = await keys.find(withKid(kid)).catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(AuthError);
  expect((outcome as AuthError).code).toBe('unavailable');
  return (outcome as AuthError).message;
}

describe('published keys', () => {
  it('are read at once, each with its algorithm', async () => {
    const { keys } = await keysOf(
      say([jwkOf(rsa, 'r'), jwkOf(ec, 'e', { alg: 'ES256' }), jwkOf(ed, 'd', { use: 'sig' })]),
    );
    expect(await found(keys, 'r')).toEqual(['r RS256']);
    expect(await found(keys, null)).toEqual(['r RS256', 'e ES256', 'd EdDSA']);
  });

  it('that the node cannot use are skipped, and the others kept', async () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey;
    const curve = generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).publicKey;
    const { keys } = await keysOf(
      say([
        null as never,
        7 as never,
        {},
        { kty: 'oct', k: 'c2VjcmV0', kid: 'secret' },
        { kty: 'RSA', n: 'x', e: 'AQAB', kid: 'broken' },
        jwkOf(ec, 'encrypting', { use: 'enc' }),
        jwkOf(ec, 'other', { alg: 'ES384' }),
        jwkOf(ec, 'signing', { key_ops: ['sign'] }),
        jwkOf(generateKeyPairSync('ed25519').privateKey, 'private'),
        jwkOf(weak, 'weak'),
        jwkOf(curve, 'curve'),
        { ...ec.export({ format: 'jwk' }) },
        jwkOf(ec, 'good'),
      ]),
    );
    expect(await found(keys, null)).toEqual(['good ES256']);
  });

  it('are read again when a token names a new one, with a minimum pause', async () => {
    const { keys, at } = await keysOf(say([jwkOf(ec, 'old')]));
    await found(keys, 'old');
    at.answer = say([jwkOf(ec, 'old'), jwkOf(ed, 'new')]);
    // Just read: the key may be newer. The client may retry.
    expect(await unavailable(keys, 'new')).toBe('This node does not have the key of the token yet. Retry.');
    at.nowMs += retryMs;
    expect(await found(keys, 'new')).toEqual(['new EdDSA']);
    expect(at.requests).toBe(2);
    at.nowMs += retryMs;
    expect(await found(keys, 'made up')).toEqual([]);
    expect(at.requests).toBe(3);
  });

  it('are not read for each of many tokens with keys that do not exist', async () => {
    const { keys, at } = await keysOf(say([jwkOf(ec, 'e')]));
    await found(keys, 'e');
    at.nowMs += retryMs;
    await Promise.all(
      Array.from({ length: 1_000 }, (_, index) => keys.find(withKid(`made-up-${index}`)).catch(() => [])),
    );
    expect(at.requests).toBe(2);
  });

  it('stay valid while they cannot be read; the node logs that once, and again when it is over', async () => {
    const { keys, at, lines, counters } = await keysOf(say([jwkOf(ec, 'e')]));
    await found(keys, 'e');
    at.answer = (response) => response.writeHead(500).end();
    for (let times = 0; times < 3; times++) {
      at.nowMs += retryMs;
      await unavailable(keys, 'new');
    }
    expect(await found(keys, 'e')).toEqual(['e ES256']);
    at.answer = say([jwkOf(ec, 'e'), jwkOf(ed, 'new')]);
    at.nowMs += retryMs;
    expect(await found(keys, 'new')).toEqual(['new EdDSA']);
    expect(lines.map(({ event }) => event)).toEqual(['jwksRead', 'jwksFailed', 'jwksRead']);
    expect(lines[1]?.msg).toBe('The jwksUrl of an issuer returned status 500: the keys read before remain valid.');
    expect(counters).toEqual({ jwksFetches: 5, jwksFailures: 3 });
  });

  it('that the issuer withdraws become invalid, which is logged, and new ones become valid', async () => {
    const { keys, at, lines } = await keysOf(say([jwkOf(ec, 'e'), jwkOf(ed, 'd')]));
    const [[stays], [goes]] = [await keys.find(withKid('e')), await keys.find(withKid('d'))];
    if (stays === undefined || goes === undefined) throw new Error('A key is missing.');
    const readAgain = async (answer: Answer): Promise<void> => {
      at.answer = answer;
      at.nowMs += retryMs;
      await keys.find(withKid('made up')).catch(() => []);
    };
    // The read did not fail, and the key set is not newer.
    await readAgain((response) => response.writeHead(500).end());
    await readAgain((response) => response.end('{"keys":{}}'));
    await readAgain(say([jwkOf(ed, 'd', { use: 'sig' }), jwkOf(rsa, 'r'), jwkOf(ec, 'e')]));
    expect([keys.has(stays), keys.has(goes), at.removals]).toEqual([true, true, 0]);
    await readAgain(say([jwkOf(ec, 'e'), jwkOf(rsa, 'r')]));
    expect([keys.has(stays), keys.has(goes), at.removals]).toEqual([true, false, 1]);
    expect(lines.at(-1)).toMatchObject({ event: 'jwksKeysRemoved', keys: 1 });
    // A different key under the same name is a new key.
    await readAgain(say([jwkOf(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey, 'e')]));
    expect([keys.has(stays), at.removals]).toEqual([false, 2]);
    expect(lines.at(-1)).toMatchObject({ event: 'jwksKeysRemoved', keys: 2 });
  });

  it.each<[string, Answer, string]>([
    ['an error', (response) => response.writeHead(404).end(), 'returned status 404'],
    ['no JSON', (response) => response.end('<html>'), 'returned something that is not JSON'],
    ['no JWKS', (response) => response.end('{"keys":{}}'), 'returned no JWKS'],
    ['null', (response) => response.end('null'), 'returned no JWKS'],
    [
      'a redirect',
      (response) => response.writeHead(302, { Location: 'http://127.0.0.1:1/' }).end(),
      'returned status 302',
    ],
    ['too many keys', say(Array(101).fill({})), 'returned 101 keys, more than the maximum of 100'],
    [
      'too much',
      (response) => response.end(`{"keys":[],"x":"${'x'.repeat(1_100_000)}"}`),
      'returned more than 1048576 bytes',
    ],
    ['a broken connection', (response) => response.socket?.destroy(), 'cannot be reached'],
  ])('are unavailable if the answer is %s', async (_, answer, why) => {
    const { keys, lines } = await keysOf(answer);
    expect(await unavailable(keys, 'e')).toBe('The keys of the issuer are currently unavailable. Retry.');
    expect(lines).toHaveLength(1);
    expect(lines[0]?.msg).toContain(why);
    expect(lines[0]?.msg).toContain('no token of this issuer is accepted until it does');
  });
});
