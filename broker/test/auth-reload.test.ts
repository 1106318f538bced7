/** FANFARE_AUTH in files that change while the node runs: what is valid afterwards, and which connections stay open. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { closeReasons } from '@fanfare/protocol';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { pino } from 'pino';
import { expect, it, type TestContext } from 'vitest';
import type { AuthConfig } from '../src/auth/auth-config.js';
import { AuthWatch } from '../src/auth/auth-watch.js';
import { loadConfig } from '../src/settings/config.js';
import { startCluster, type TestCluster } from './harness.js';
import { MountedFolder } from './mounted-folder.js';
import type { TestConnection } from './test-connection.js';
import { until } from './wait.js';

const issuer = 'https://id.test';
const [oldSecret, newSecret] = ['the secret of yesterday, and of today', 'the secret of today, and of tomorrow'];
const keyOf = (id: string): string => `fk_${id}_Vd2rV1cW0e5vG8hJ3kM6nP9qS2tU5wX8`;

function apiKey(id: string, permissions: object, secret = keyOf(id)): object {
  return { id, sha256: createHash('sha256').update(secret).digest('hex'), permissions };
}

function tokenOf(secret: string): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  return new SignJWT({ fanfare: { publish: ['>'], subscribe: ['>'] } })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer(issuer)
    .setSubject('ada')
    .setIssuedAt(now)
    .setExpirationTime(now + 600)
    .sign(Buffer.from(secret));
}

interface Documents {
  /** The issuer's keys are in the files `old` and `new`. */
  readonly keys?: readonly ('old' | 'new')[];
  readonly apiKeys?: readonly object[];
  readonly hook?: object;
}

/** A node that reads FANFARE_AUTH and its keys from a mounted folder. */
async function startMounted({ onTestFinished }: TestContext, first: Documents) {
  const secrets = { old: oldSecret, new: newSecret };
  const folder = new MountedFolder({ 'auth.json': '', ...secrets });
  onTestFinished(() => folder[Symbol.dispose]());
  const write = (auth: string, changed: Readonly<Record<string, string>> = {}): void =>
    folder.update({ 'auth.json': auth, ...secrets, ...changed });
  const documentOf = ({ keys = ['old'], apiKeys = [], hook }: Documents): string =>
    JSON.stringify({
      issuers: [{ issuer, keys: keys.map((name) => ({ algorithm: 'HS256', secretFile: folder.file(name) })) }],
      apiKeys,
      hook,
    });
  write(documentOf(first));
  const cluster = await startCluster({ env: { FANFARE_AUTH: `@${folder.file('auth.json')}` } });
  onTestFinished(() => cluster[Symbol.asyncDispose]());
  const eventsOf = (name: string) => cluster.node().log.filter(({ event }) => event === name);
  /** Resolves once the node has read the new content. */
  const change = async (documents: Documents, files: Readonly<Record<string, string>> = {}): Promise<void> => {
    const before = eventsOf('authReread').length;
    write(documentOf(documents), files);
    await until('the node has read the files again', () => eventsOf('authReread').length > before);
  };
  return { cluster, write, change, eventsOf };
}

async function connectWith(cluster: TestCluster, token: string): Promise<TestConnection> {
  const connection = await cluster.connect();
  expect(await connection.request({ type: 'connect', token })).toMatchObject({ type: 'connected' });
  return connection;
}

const publishing = { type: 'publish', topic: 't', data: 1, messageId: null } as const;

// Concurrent: they wait until nodes check their files.
it.concurrent('a node accepts tokens of a new key, and closes the connections of a removed key', async (test) => {
  const { cluster, change } = await startMounted(test, { keys: ['old'] });
  const old = await connectWith(cluster, await tokenOf(oldSecret));
  const early = await cluster.connect();
  expect(await early.request({ type: 'connect', token: await tokenOf(newSecret) })).toMatchObject({
    code: 'invalidToken',
  });
  await change({ keys: ['old', 'new'] });
  const fresh = await connectWith(cluster, await tokenOf(newSecret));
  expect(await old.request(publishing)).toMatchObject({ type: 'published' });
  await change({ keys: ['new'] });
  expect(await old.closed).toMatchObject({ code: closeReasons.tokenExpired.code });
  expect(await fresh.request(publishing)).toMatchObject({ type: 'published' });
});

it.concurrent('a node closes the connections of API keys that were removed or replaced, and no others', async (test) => {
  const permissions = { publish: ['>'] };
  const { cluster, change } = await startMounted(test, {
    apiKeys: [apiKey('same', permissions), apiKey('gone', permissions), apiKey('less', permissions)],
  });
  const [same, gone, less] = [
    await connectWith(cluster, keyOf('same')),
    await connectWith(cluster, keyOf('gone')),
    await connectWith(cluster, keyOf('less')),
  ];
  await change({ apiKeys: [apiKey('less', { publish: ['other'] }), apiKey('same', permissions)] });
  const closed = { code: closeReasons.tokenExpired.code };
  expect(await Promise.all([gone.closed, less.closed])).toMatchObject([closed, closed]);
  expect(await same.request(publishing)).toMatchObject({ type: 'published' });
  const again = await connectWith(cluster, keyOf('less'));
  expect(await again.request(publishing)).toMatchObject({ code: 'notPermitted' });
});

it.concurrent('a node asks the new hook if the hook changes', async (test) => {
  const backend = createServer((_, response) => response.end('{"allow":false,"reason":"Not today."}')).listen(
    0,
    '127.0.0.1',
  );
  await once(backend, 'listening');
  test.onTestFinished(() => {
    backend.closeAllConnections();
    backend.close();
  });
  const { cluster, change } = await startMounted(test, {});
  const connection = await connectWith(cluster, await tokenOf(oldSecret));
  expect(await connection.request(publishing)).toMatchObject({ type: 'published' });
  const url = `http://127.0.0.1:${(backend.address() as AddressInfo).port}/`;
  await change({ hook: { url, events: ['publish'] } });
  expect(await connection.request(publishing)).toMatchObject({ code: 'notPermitted' });
  await change({});
  expect(await connection.request(publishing)).toMatchObject({ type: 'published' });
});

it.concurrent('a node keeps the previous configuration if the new content is invalid, and logs the mistake', async (test) => {
  const { cluster, write, change, eventsOf } = await startMounted(test, {});
  const connection = await connectWith(cluster, await tokenOf(oldSecret));
  for (const [auth, wrong] of [
    [
      '{"issuers":[{"issuer":"x","secret":"planted"}]}',
      'FANFARE_AUTH at issuers[0]: it has an unknown field, number 2',
    ],
    ['planted', 'FANFARE_AUTH names a file that is not JSON'],
  ] as const) {
    const before = eventsOf('authRefused').length;
    write(auth);
    await until('the node rejects the new content', () => eventsOf('authRefused').length > before);
    const { msg } = eventsOf('authRefused').at(-1) ?? {};
    expect(msg).toContain(wrong);
    expect(msg).not.toContain('planted');
    expect(await cluster.node().metric('fanfare_auth_refused')).toBe(1);
  }
  expect(await connection.request(publishing)).toMatchObject({ type: 'published' });
  await connectWith(cluster, await tokenOf(oldSecret));
  await change({});
  expect(await cluster.node().metric('fanfare_auth_refused')).toBe(0);
  expect(await connection.request(publishing)).toMatchObject({ type: 'published' });
});

it.concurrent('a node notices a change of a file that a later version of FANFARE_AUTH added', async (test) => {
  const { cluster, change } = await startMounted(test, { keys: ['old'] });
  await change({ keys: ['new'] });
  await change({ keys: ['new'] }, { new: `${newSecret}, again` });
  await connectWith(cluster, await tokenOf(`${newSecret}, again`));
});

it.concurrent('a node removes even the last keys if the new lists are empty', async (test) => {
  const { cluster, change } = await startMounted(test, {
    keys: ['old'],
    apiKeys: [apiKey('only', { publish: ['>'] })],
  });
  const [user, service] = [
    await connectWith(cluster, await tokenOf(oldSecret)),
    await connectWith(cluster, keyOf('only')),
  ];
  await change({ keys: [], apiKeys: [] });
  const closed = { code: closeReasons.tokenExpired.code };
  expect(await Promise.all([user.closed, service.closed])).toMatchObject([closed, closed]);
  for (const token of [await tokenOf(oldSecret), keyOf('only')]) {
    const connection = await cluster.connect();
    expect(await connection.request({ type: 'connect', token })).toMatchObject({ code: 'invalidToken' });
  }
});

it.concurrent('a node uses new content if files change while it starts', async () => {
  using folder = new MountedFolder({ secret: oldSecret });
  const keys = [{ algorithm: 'HS256', secretFile: folder.file('secret') }];
  const environment = { FANFARE_AUTH: JSON.stringify({ issuers: [{ issuer, keys }] }) };
  const { auth } = loadConfig(environment);
  if (auth === null || auth === 'none') throw new Error('The node has no authentication.');
  folder.update({ secret: newSecret });
  const read: AuthConfig[] = [];
  const watch = new AuthWatch(auth, pino({ level: 'silent' }), (now) => read.push(now));
  watch.close();
  expect(read.map(({ issuers }) => issuers[0]?.keys[0]?.key)).toEqual([new TextEncoder().encode(newSecret)]);
});

it.concurrent('if jwksUrl changes, a node keeps connections until the new address responds without the key of their tokens', async (test) => {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' };
  const answers: Record<string, object> = { '/old': { keys: [jwk] }, '/same': { keys: [jwk] }, '/empty': { keys: [] } };
  const server = createServer((request, response) => {
    const answer = answers[request.url ?? ''];
    response.writeHead(answer === undefined ? 500 : 200).end(JSON.stringify(answer ?? {}));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const jwksUrl = (path: string): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
  const { cluster, write, eventsOf } = await startMounted(test, {});
  const change = async (path: string): Promise<void> => {
    const before = eventsOf('authReread').length;
    write(JSON.stringify({ issuers: [{ issuer, jwksUrl: jwksUrl(path) }] }));
    await until('the node has read the files again', () => eventsOf('authReread').length > before);
  };
  await change('/old');
  await until('the node has read the keys', () => eventsOf('jwksRead').length === 1);
  const now = Math.floor(Date.now() / 1_000);
  const token = await new SignJWT({ fanfare: { publish: ['>'] } })
    .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
    .setIssuer(issuer)
    .setSubject('ada')
    .setExpirationTime(now + 600)
    .sign(privateKey);
  const connection = await connectWith(cluster, token);
  for (const path of ['/same', '/broken']) {
    await change(path);
    expect(await connection.request(publishing)).toMatchObject({ type: 'published' });
    await connectWith(cluster, token);
  }
  await change('/empty');
  expect(await connection.closed).toMatchObject({ code: closeReasons.tokenExpired.code });
});
