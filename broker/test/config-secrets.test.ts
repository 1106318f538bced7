/**
 * A secret may be in the wrong place of the configuration, as a value or as a name. No message repeats it, and each
 * message names the place.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startNode } from '@fanfare/local-cluster';
import { afterAll, describe, expect, it } from 'vitest';
import { createApiKey } from '../src/auth/api-keys.js';
import { sentencesOf, settings } from '../src/settings/config.js';
import { startNode as startInProcess } from './harness.js';
import { run } from './run.js';
import { until } from './wait.js';
import { wrong } from './wrong.js';

const secret = 'hush-7Kq2';
/** The secret in upper case, and as a URL or a message may change it. */
const isShown = (text: string): boolean => /hush.?7kq2/i.test(text);

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** The document with the secret in one more place: as a value, as the name of a field, and as an additional field. */
function* planted(document: Json): Iterable<Json> {
  yield secret;
  if (Array.isArray(document)) {
    for (const [index, element] of document.entries()) {
      for (const other of planted(element)) yield document.with(index, other);
    }
    yield [...document, secret];
  } else if (typeof document === 'object' && document !== null) {
    const entries = Object.entries(document);
    for (const [index, [name, value]] of entries.entries()) {
      for (const other of planted(value)) yield Object.fromEntries(entries.with(index, [name, other]));
      yield Object.fromEntries(entries.with(index, [secret, value]));
      // Similar to a known name: "did you mean".
      yield Object.fromEntries(entries.with(index, [`${name}hush7Kq2`.slice(-12), value]));
    }
    yield { ...document, [secret]: 1 };
    yield { ...document, [secret]: { [secret]: secret } };
  }
}

const auth: Json = {
  issuers: [
    {
      issuer: 'https://id.test',
      audience: 'fanfare',
      keys: [
        { algorithm: 'HS256', kid: 'a', secret: 's'.repeat(32) },
        { algorithm: 'RS256', publicKeyFile: '/nowhere' },
      ],
      clockSkewSeconds: 5,
    },
    { issuer: 'https://other.test', jwksUrl: 'https://id.test/jwks', algorithms: ['ES256'] },
  ],
  apiKeys: [{ id: 'orders', sha256: '0'.repeat(64), permissions: { publish: ['orders.>'] }, admin: true }],
  hook: { url: 'https://hook.test/', events: ['connect'], whenDown: 'refuse', token: 'between-us' },
};
const topics: Json = { 'prices.>': { level: 'fast' }, 'orders.*': { level: 'durable', historySize: 7 } };

const folder = mkdtempSync(join(tmpdir(), 'fanfare-secrets-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('a secret in the wrong place of the configuration', () => {
  const shapes = [
    secret,
    `${secret},${secret}`,
    `@${secret}`,
    `@/${secret}/x`,
    `{"${secret}":"${secret}"}`,
    `{"a": ${secret}}`,
    `tcp://${secret}:1`,
    `https://user:${secret}@host/${secret}?${secret}#${secret}`,
    `redis://:${secret}@host/${secret}`,
    `rediss+sentinel://${secret}@${secret},${secret}/${secret}/?${secret}=1`,
    `unix:///${secret}?${secret}=1`,
    `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----`,
    `<${secret}>`,
    `${secret}\n${secret}`,
    `0${secret}`,
  ];

  it.each(Object.values(settings).map(({ name }) => name))('is not repeated if it is the value of %s', (name) => {
    // Settings that must be present so that others are checked too.
    for (const others of [{}, { FANFARE_REDIS_URL: 'rediss://redis' }, { FANFARE_WORKERS: '2' }]) {
      for (const shape of shapes) {
        const messages = wrong({ ...others, [name]: shape });
        for (const sentence of messages) expect(sentence).toMatch(/^(The key in )?FANFARE_[A-Z_]+ [^\n]{10,400}\.$/);
        expect(messages.filter(isShown)).toEqual([]);
      }
    }
  });

  it('is not repeated if it is a part of the name of a variable, and the name does not look like a setting', () => {
    const long = `${secret.toUpperCase().replace('-', '')}`.repeat(5);
    for (const name of [secret, secret.toUpperCase(), 'REDIS_hush_7Kq2', 'REDIS_URLhush7Kq2', `PORT${long}`, '']) {
      const [sentence, ...others] = wrong({ [`FANFARE_${name}`]: '1' });
      expect(others).toEqual([]);
      expect(sentence).toMatch(/^FANFARE_\S* is not a setting; /);
      expect(isShown(sentence ?? '')).toBe(false);
    }
  });

  it.each([
    ['FANFARE_AUTH', auth],
    ['FANFARE_TOPICS', topics],
  ])('is not repeated if it is anywhere in the document of %s, and the message names the place', (name, document) => {
    const file = join(folder, 'document.json');
    let count = 0;
    for (const other of planted(document)) {
      const text = JSON.stringify(other);
      writeFileSync(file, text);
      for (const value of [text, `@${file}`, text.replaceAll('"', ''), text.slice(1)]) {
        for (const sentence of wrong({ [name]: value })) {
          count++;
          expect(sentence).toMatch(new RegExp(`^${name} (at|has|must|is|names) .+[.?]$`));
          expect(sentence).not.toSatisfy(isShown);
        }
      }
    }
    expect(count).toBeGreaterThan(20);
  });

  it('is not repeated if it is in the content of a file', () => {
    const file = join(folder, 'content');
    const names = Object.values(settings).flatMap(({ name }) => (name.endsWith('_FILE') ? [name] : []));
    expect(names.length).toBeGreaterThan(5);
    for (const content of [
      secret,
      `-----BEGIN CERTIFICATE-----\n${secret}\n-----END CERTIFICATE-----`,
      `${secret}\n\n`,
    ]) {
      writeFileSync(file, content);
      for (const name of names) {
        const messages = wrong({ FANFARE_REDIS_URL: 'rediss+sentinel://one/m', [name]: file });
        expect(messages.filter(isShown)).toEqual([]);
      }
    }
  });

  it('is not repeated if it is on the command line', async () => {
    for (const args of [[secret], [`--${secret}`], ['api-key', `a_${secret}`], [`-h${secret}`]]) {
      const { code, err } = await run(args);
      expect({ code, lines: err.trim().split('\n').length }).toEqual({ code: 2, lines: 1 });
      expect(err).not.toSatisfy(isShown);
    }
  });

  it('is not repeated if it is an address on which the node cannot listen', async () => {
    for (const name of ['FANFARE_HOST', 'FANFARE_ADMIN_HOST']) {
      const started = startInProcess({ FANFARE_AUTH: 'none', [name]: `${secret}.invalid` });
      const error: unknown = await started.then(
        () => null,
        (refusal) => refusal,
      );
      expect(sentencesOf(error).join()).toContain(`the address in ${name}`);
      expect(sentencesOf(error)).not.toSatisfy((texts: readonly string[]) => texts.some(isShown));
    }
  });

  it('is not in the log of a node that starts with it, and whose servers fail', async () => {
    const server = createServer((_, response) => response.writeHead(500).end()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { entry } = createApiKey('orders');
    await using node = await startNode({
      redisUrl: `redis://:${secret}@${secret}.invalid:6379`,
      env: {
        FANFARE_LOG_LEVEL: 'debug',
        FANFARE_AUTH: JSON.stringify({
          issuers: [{ issuer: secret, audience: secret, jwksUrl: `${base}/${secret}?${secret}` }],
          apiKeys: [entry],
          hook: { url: `${base}/${secret}`, events: ['connect'], token: secret },
        }),
        FANFARE_TRACING_URL: `http://${secret}:${secret}@127.0.0.1:9/${secret}`,
        FANFARE_TRACING_RATIO: '1',
        FANFARE_TOPICS: JSON.stringify({ [secret]: { level: 'fast' } }),
        FANFARE_ORIGINS: `https://${secret.toLowerCase()}.example`,
      },
      waitReady: false,
    });
    for (const event of ['jwksFailed', 'tracing', 'redisError'])
      await until(`the node logs ${event}`, () => node.logs().some((line) => line.includes(`"${event}"`)));
    expect(node.logs().filter(isShown)).toEqual([]);
    server.closeAllConnections();
    server.close();
  });
});
