/**
 * Authentication and authorization on a running node, with real sockets: who may connect, what they may do, and for how
 * long.
 */
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { startRedis } from '@fanfare/local-cluster';
import { closeReasons } from '@fanfare/protocol';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import type { Question } from '../src/auth/hook.js';
import { Connection } from '../src/connection/connection.js';
import { maxQueuedCommands, maxUnauthenticatedBytes, maxUnauthenticatedErrors } from '../src/session/command-gate.js';
import { startCluster, startMortalNode, type TestCluster } from './harness.js';
import { TestConnection } from './test-connection.js';
import { until, within } from './wait.js';

const secret = 'a secret that is known to this test only';
const issuer = 'https://id.test';
const adminKey = 'fk_admin_Vd2rV1cW0e5vG8hJ3kM6nP9qS2tU5wX8';
const ordersKey = 'fk_orders_Hq3sT6vW9yZ2bC5dE8fG1hJ4kL7mN0pR';

async function sha256(text: string): Promise<string> {
  return Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(text))).toString('hex');
}

async function authEnv(more: Readonly<Record<string, string>> = {}): Promise<Record<string, string>> {
  const auth = {
    issuers: [{ issuer, audience: 'fanfare', clockSkewSeconds: 0, keys: [{ algorithm: 'HS256', secret }] }],
    apiKeys: [
      { id: 'admin', sha256: await sha256(adminKey), permissions: {}, admin: true },
      { id: 'orders', sha256: await sha256(ordersKey), permissions: { publish: ['orders.>'] } },
    ],
  };
  return { FANFARE_AUTH: JSON.stringify(auth), ...more };
}

interface Claims {
  readonly sub?: string;
  /** The issuer. */
  readonly by?: string;
  readonly jti?: string;
  readonly permissions?: Readonly<Record<string, readonly string[]>>;
  /** Counted from now. */
  readonly expiresInSeconds?: number;
}

const everything = { publish: ['>'], subscribe: ['>'], history: ['>'] };

function tokenOf({
  sub = 'ada',
  by = issuer,
  jti,
  permissions = everything,
  expiresInSeconds = 60,
}: Claims = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  const jwt = new SignJWT({ fanfare: permissions })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer(by)
    .setAudience('fanfare')
    .setSubject(sub)
    .setIssuedAt(now)
    .setExpirationTime(now + expiresInSeconds);
  if (jti !== undefined) jwt.setJti(jti);
  return jwt.sign(Buffer.from(secret));
}

let cluster: TestCluster;
beforeAll(async () => {
  const topics = '{"orders.fast":{"level":"fast"}}';
  cluster = await startCluster({ nodes: 2, env: await authEnv({ FANFARE_TOPICS: topics }) });
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

async function connectAs(claims: Claims = {}, node = 0, of = cluster): Promise<TestConnection> {
  const connection = await of.connect(node);
  const reply = await connection.request({ type: 'connect', token: await tokenOf(claims) });
  expect(reply.type).toBe('connected');
  return connection;
}

async function post(path: string, token: string | null, body: string, node = 0, of = cluster) {
  const response = await fetch(`http://127.0.0.1:${of.node(node).broker.port}${path}`, {
    method: 'POST',
    headers: token === null ? {} : { Authorization: `Bearer ${token}` },
    body,
  });
  return { status: response.status, body: await response.text() };
}

/** The status of a handshake that is refused; 101 if it is accepted. */
async function statusOf(url: string, headers: Record<string, string> = {}): Promise<number | undefined> {
  const socket = new WebSocket(url, { headers });
  socket.on('error', () => undefined);
  const [status] = await Promise.race([
    once(socket, 'unexpected-response').then(([, response]) => [response.statusCode as number]),
    once(socket, 'open').then(() => [101]),
  ]);
  socket.terminate();
  return status;
}

describe('a token', () => {
  it('in connect opens the connection, and the reply contains its lifetime', async () => {
    const connection = await cluster.connect();
    const reply = await connection.request({ type: 'connect', token: await tokenOf({ expiresInSeconds: 30 }) });
    expect(reply).toMatchObject({ type: 'connected', node: 'node-0' });
    const { expiresInMs } = reply as { expiresInMs: number };
    expect(expiresInMs).toBeGreaterThan(25_000);
    expect(expiresInMs).toBeLessThanOrEqual(30_000);
  });

  it('in the Authorization header opens the connection before the first command', async () => {
    const socket = new WebSocket(cluster.node().url, { headers: { Authorization: `Bearer ${await tokenOf()}` } });
    await once(socket, 'open');
    socket.send('{"type":"subscribe","id":1,"topic":"t"}');
    const [message] = await once(socket, 'message');
    expect(JSON.parse(String(message))).toMatchObject({ type: 'subscribed', id: 1 });
    socket.terminate();
  });

  it('lets commands behind it wait, in order, including those in the same frame', async () => {
    const watcher = await connectAs();
    await watcher.subscribe('waiting');
    const connection = await cluster.connect();
    const publish = (data: number) => ({ type: 'publish', id: null, topic: 'waiting', data, messageId: null }) as const;
    connection.send({ type: 'connect', id: 1, token: await tokenOf() }, publish(1), publish(2));
    connection.send(publish(3), { type: 'ping', id: 2 });
    expect(await connection.next('connected')).toMatchObject({ id: 1 });
    expect(await connection.next('pong')).toMatchObject({ id: 2 });
    expect(await watcher.take('waiting', 3)).toEqual([1, 2, 3]);
  });

  it.each([
    [
      'signed with another key',
      async () => `${(await tokenOf()).slice(0, -8)}AAAAAAAA`,
      'invalidToken',
      closeReasons.unauthenticated,
    ],
    ['that is not a token', async () => 'let me in', 'invalidToken', closeReasons.unauthenticated],
    ['that has expired', () => tokenOf({ expiresInSeconds: -60 }), 'tokenExpired', closeReasons.tokenExpired],
    [
      'that is an unknown API key',
      async () => 'fk_nobody_00000000000000000000000000000000',
      'invalidToken',
      closeReasons.unauthenticated,
    ],
  ])('%s is refused with a sentence, and the connection is closed', async (_, token, code, closed) => {
    const connection = await cluster.connect();
    connection.send({ type: 'connect', id: 1, token: await token() }, { type: 'ping', id: 2 });
    const error = await connection.next('error');
    expect(error).toMatchObject({ id: 1, code });
    expect(error.message).toMatch(/\.$/);
    expect(await within('the connection is closed', connection.closed)).toEqual(closed);
    expect(connection.inbox.waiting).toEqual([]);
  });
});

describe('without a token', () => {
  it.each([
    ['subscribe', { type: 'subscribe', id: 1, topic: 't', since: null }],
    ['publish', { type: 'publish', id: 1, topic: 't', data: 1, messageId: null }],
    ['ping', { type: 'ping', id: 1 }],
    ['connect', { type: 'connect', id: 1, token: null }],
    ['refresh', { type: 'refresh', id: 1, token: 'x' }],
  ] as const)('%s is refused, and the connection is closed', async (_, command) => {
    const connection = await cluster.connect();
    connection.send(command);
    expect(await connection.next('error')).toMatchObject({ id: 1, code: 'unauthenticated' });
    expect(await within('the connection is closed', connection.closed)).toEqual(closeReasons.unauthenticated);
  });

  it.each([
    ['a connect with a token that is too long', { type: 'connect', id: 1, token: 'x'.repeat(8_193) }, 'malformed'],
    ['an unknown command', { type: 'jump', id: 1 }, 'unknownCommand'],
    ['a subscribe to an invalid topic', { type: 'subscribe', id: 1, topic: '*' }, 'invalidTopic'],
  ])('%s gets an error, and the connection is closed at once', async (_, command, code) => {
    // The timeout is longer than the test.
    await using patient = await startCluster({ env: await authEnv({ FANFARE_AUTH_TIMEOUT_MS: '60000' }) });
    const connection = await patient.connect(0, 'json');
    connection.sendRaw(JSON.stringify([command, { type: 'connect', id: 2, token: await tokenOf() }]));
    expect(await connection.next('error')).toMatchObject({ id: 1, code });
    expect(await within('the connection is closed', connection.closed)).toEqual(closeReasons.unauthenticated);
    expect(connection.inbox.waiting).toEqual([]);
    expect(await patient.node().metric('fanfare_authentications_failed_total')).toBe(1);
  });

  it('a connection is closed after the timeout', async () => {
    await using hasty = await startCluster({ env: await authEnv({ FANFARE_AUTH_TIMEOUT_MS: '100' }) });
    const connection = await hasty.connect();
    expect(await within('the connection is closed', connection.closed)).toEqual(closeReasons.authenticationTimeout);
    await until(
      'the timeout is counted',
      async () => (await hasty.node().metric('fanfare_authentication_timeouts_total')) === 1,
    );
  });

  it('a connection may send 16 KiB and no more', async () => {
    const connection = await cluster.connect(0, 'json');
    connection.sendRaw(' '.repeat(maxUnauthenticatedBytes + 1));
    expect(await within('the connection is closed', connection.closed)).toEqual(closeReasons.frameTooLarge);
  });

  it('a connection may send a thousand commands behind its token, and further commands are refused', async () => {
    const connection = await cluster.connect();
    const pings = Array.from(
      { length: maxQueuedCommands + 1 },
      (_, index) => ({ type: 'ping', id: 2 + index }) as const,
    );
    connection.send({ type: 'connect', id: 1, token: await tokenOf({ sub: 'eager' }) }, ...pings);
    expect(await connection.next('error')).toMatchObject({ id: 2 + maxQueuedCommands, code: 'rateLimited' });
    expect(await connection.next('connected')).toMatchObject({ id: 1 });
  });

  it.each(['json', 'msgpack'] as const)('a node stops reading a frame at the first mistake: %s', async (encoding) => {
    const found = vi.spyOn(Connection.prototype, 'onCommandError');
    onTestFinished(() => found.mockRestore());
    const connection = await cluster.connect(0, encoding);
    const [zeros, noTopics] = [`[${'0,'.repeat(8_000)}0]`, Buffer.from('9302c0a0'.repeat(4_000), 'hex')];
    connection.sendRaw(encoding === 'json' ? zeros : noTopics);
    expect(await within('the connection is closed', connection.closed)).toEqual(closeReasons.unauthenticated);
    expect(found).toHaveBeenCalledOnce();
  });

  const noTopic = { type: 'subscribe', id: 2, topic: '', since: null } as const;
  const ping = { type: 'ping', id: 3 } as const;
  it.each([
    ['json', 'subscribes to invalid topics', [noTopic]],
    ['msgpack', 'subscribes to invalid topics', [noTopic]],
    ['json', 'subscribes to invalid topics between other commands', [noTopic, ping]],
    ['msgpack', 'subscribes to invalid topics between other commands', [noTopic, ping]],
    ['msgpack', 'commands beyond the limit', [ping, ping, ping, ping, ping, ping, ping, ping, ping, ping, ping]],
  ] as const)('%s: %s behind a token get ten errors, then the connection is closed', async (encoding, _, wrong) => {
    // Longer tokens leave less room for the commands behind them.
    const token = await tokenOf({ permissions: {} });
    const connection = await cluster.connect(0, encoding);
    connection.send({ type: 'connect', id: 1, token }, ...Array.from({ length: 100 }, () => wrong).flat());
    expect(await within('the connection is closed', connection.closed)).toEqual(closeReasons.badProtocol);
    expect(connection.inbox.waiting.map(({ type }) => type)).toEqual(Array(maxUnauthenticatedErrors).fill('error'));
  });
});

describe('permissions', () => {
  it('are checked for each action and topic', async () => {
    const connection = await connectAs({
      permissions: { publish: ['chat.*'], subscribe: ['chat.>', 'news'], history: ['old'] },
    });
    const refused = { type: 'error', code: 'notPermitted', retryable: false };
    expect(await connection.publish('chat.1', 1)).toMatchObject({ type: 'published' });
    expect(await connection.publish('chat.1.deep', 1)).toMatchObject({
      ...refused,
      message: 'The token does not grant permission to publish to chat.1.deep.',
    });
    expect(await connection.publish('news', 1)).toMatchObject(refused);
    expect(await connection.subscribe('chat.1.deep')).toMatchObject({ type: 'subscribed' });
    expect(await connection.subscribe('news')).toMatchObject({ type: 'subscribed' });
    expect(await connection.subscribe('orders')).toMatchObject(refused);
    const page = { type: 'history', since: null, limit: null, direction: null } as const;
    expect(await connection.request({ ...page, topic: 'old' })).toMatchObject({ type: 'history' });
    expect(await connection.request({ ...page, topic: 'chat.1' })).toMatchObject({ type: 'history' });
    expect(await connection.request({ ...page, topic: 'orders' })).toMatchObject(refused);
  });

  it('of an API key come from its entry', async () => {
    const connection = await cluster.connect();
    expect(await connection.request({ type: 'connect', token: ordersKey })).toMatchObject({
      type: 'connected',
      expiresInMs: null,
    });
    expect(await connection.publish('orders.1', 1)).toMatchObject({ type: 'published' });
    expect(await connection.subscribe('orders.1')).toMatchObject({ code: 'notPermitted' });
  });

  it('that a new token no longer grants end their subscriptions', async () => {
    const publisher = await connectAs({ sub: 'bob' });
    const connection = await connectAs({ permissions: { subscribe: ['a', 'b'] } });
    await connection.subscribe('a');
    await connection.subscribe('b');
    const token = await tokenOf({ permissions: { subscribe: ['b'] } });
    const reply = await connection.request({ type: 'refresh', token });
    expect(reply).toMatchObject({ type: 'refreshed' });
    expect(await connection.next('unsubscribed')).toMatchObject({ id: null, topic: 'a', code: 'notPermitted' });
    await publisher.publish('a', 1);
    await publisher.publish('b', 2);
    expect(await connection.take('b', 1)).toEqual([2]);
    expect(connection.inbox.waiting).toEqual([]);
  });
});

describe('a token that expires', () => {
  it('ends the connection, unless the client has refreshed it', async () => {
    const kept = await connectAs({ expiresInSeconds: 2 });
    const left = await connectAs({ expiresInSeconds: 2 });
    expect(await kept.request({ type: 'refresh', token: await tokenOf() })).toMatchObject({ type: 'refreshed' });
    expect(await within('the other connection is closed', left.closed)).toEqual(closeReasons.tokenExpired);
    await kept.settle();
  });

  it.each([
    ['another subject', () => tokenOf({ sub: 'eve' })],
    ['another key', async () => `${(await tokenOf()).slice(0, -8)}AAAAAAAA`],
  ])('cannot be refreshed with a token of %s', async (_, token) => {
    const connection = await connectAs();
    expect(await connection.request({ type: 'refresh', token: await token() })).toMatchObject({ code: 'invalidToken' });
    await connection.settle();
  });
});

describe('revocation', () => {
  it.each([
    ['subject', { sub: 'mallory-1' }, { subject: 'mallory-1' }],
    ['token', { sub: 'mallory-2', jti: 'token-2' }, { tokenId: 'token-2' }],
  ])('of a %s closes its connections on all nodes, and refuses new ones', async (_, claims, body) => {
    const old = await tokenOf(claims);
    const here = await connectAs(claims, 0);
    const there = await connectAs(claims, 1);
    const other = await connectAs({ sub: 'other' }, 1);
    expect(await post('/v1/revocations', adminKey, JSON.stringify(body))).toEqual({ status: 202, body: '{}' });
    expect(await within('the connection is closed', here.closed)).toEqual(closeReasons.revoked);
    expect(await within('the connection is closed', there.closed)).toEqual(closeReasons.revoked);
    await other.settle();
    for (const node of [0, 1]) {
      const again = await cluster.connect(node);
      expect(await again.request({ type: 'connect', token: old })).toMatchObject({
        code: 'invalidToken',
        message: 'The token was revoked.',
      });
    }
  });

  it('of a subject does not apply to tokens issued later', async () => {
    await post('/v1/revocations', adminKey, '{"subject":"mallory-3"}');
    // `iat` counts seconds.
    await until('a new token is accepted', async () => {
      const connection = await cluster.connect(1);
      const { type } = await connection.request({ type: 'connect', token: await tokenOf({ sub: 'mallory-3' }) });
      return type === 'connected';
    });
  });

  it.each([
    [
      'a request without a key',
      null,
      '{"subject":"ada"}',
      401,
      'Send \\"Authorization: Bearer\\" with a token or API key.',
    ],
    [
      'an API key without admin rights',
      ordersKey,
      '{"subject":"ada"}',
      403,
      'This request requires an API key with \\"admin\\": true.',
    ],
    ['a body that is not JSON', adminKey, 'ada', 400, 'The body is not JSON'],
    ['a body that names nothing', adminKey, '{}', 400, 'Give exactly one of subject, tokenId, connection'],
    ['a body that names two things', adminKey, '{"subject":"a","tokenId":"b"}', 400, 'Give exactly one of'],
    ['a body with a number', adminKey, '{"subject":7}', 400, 'subject must be a string'],
    ['a body with a duration', adminKey, '{"subject":"a","forSeconds":60}', 400, 'Remove forSeconds. A revocation'],
    [
      'a body that is too long',
      adminKey,
      JSON.stringify({ subject: 'x'.repeat(5_000) }),
      413,
      'longer than 4096 bytes',
    ],
  ])('is refused for %s', async (_, key, body, status, sentence) => {
    const answer = await post('/v1/revocations', key, body);
    expect(answer.status).toBe(status);
    expect(answer.body).toContain(sentence);
  });
});

describe('a ticket', () => {
  it('opens one connection, at any node, with the permissions of its token', async () => {
    const { status, body } = await post('/v1/tickets', await tokenOf({ permissions: { subscribe: ['t'] } }), '', 0);
    expect(status).toBe(201);
    const { ticket, expiresInMs } = JSON.parse(body) as { ticket: string; expiresInMs: number };
    expect(expiresInMs).toBe(30_000);
    const url = `${cluster.node(1).url}?ticket=${ticket}`;
    const socket = new WebSocket(url);
    await once(socket, 'open');
    socket.send('[{"type":"connect","id":1},{"type":"subscribe","id":2,"topic":"t"}]');
    const [first] = await once(socket, 'message');
    expect(JSON.parse(String(first))).toMatchObject({ type: 'connected', id: 1 });
    socket.terminate();
    const second = new WebSocket(url);
    const [code] = await within('the second connection is closed', once(second, 'close'));
    expect(code).toBe(closeReasons.unauthenticated.code);
  });

  it('is not issued for an invalid token', async () => {
    expect(await post('/v1/tickets', 'let me in', '')).toMatchObject({ status: 401 });
    expect(await post('/v1/tickets', null, '')).toMatchObject({ status: 401 });
  });
});

describe('a browser', () => {
  it('may connect from the listed origins, and from no other', async () => {
    await using listed = await startCluster({ env: await authEnv({ FANFARE_ORIGINS: 'https://app.example.com' }) });
    const { url } = listed.node();
    expect(await statusOf(url, { Origin: 'https://app.example.com' })).toBe(101);
    for (const origin of [
      'https://evil-app.example.com',
      'https://app.example.com.evil.com',
      'https://APP.example.com',
      'http://app.example.com',
      'https://app.example.com:8443',
      'https://app.example.com.',
      'null',
    ]) {
      expect(await statusOf(url, { Origin: origin })).toBe(403);
    }
    expect(await listed.node().metric('fanfare_origins_refused_total')).toBe(7);
  });

  it('may be the web view of an app', async () => {
    const apps = ['capacitor://localhost', 'tauri://localhost', 'file://'];
    await using listed = await startCluster({ env: await authEnv({ FANFARE_ORIGINS: apps.join(', ') }) });
    const { url } = listed.node();
    for (const Origin of apps) expect(await statusOf(url, { Origin })).toBe(101);
    for (const Origin of ['ionic://localhost', 'capacitor://localhost:1', 'capacitor://localhos', 'null']) {
      expect(await statusOf(url, { Origin })).toBe(403);
    }
  });

  it('may not connect if no origins are listed; other clients may', async () => {
    expect(await statusOf(cluster.node().url, { Origin: 'https://app.example.com' })).toBe(403);
    expect(await statusOf(cluster.node().url)).toBe(101);
  });
});

// Concurrent: one of them waits until the nodes forget another one.
describe.concurrent('a limit', () => {
  it('applies to the connections of a subject on a node', async () => {
    await using small = await startCluster({ env: await authEnv({ FANFARE_MAX_CONNECTIONS_PER_SUBJECT: '2' }) });
    const first = await connectAs({}, 0, small);
    await connectAs({}, 0, small);
    const third = await small.connect();
    third.send({ type: 'connect', id: 1, token: await tokenOf() });
    expect(await within('the connection is closed', third.closed)).toEqual(closeReasons.tooManyConnections);
    await connectAs({ sub: 'bob' }, 0, small);
    await first.close();
    await until('the slot is free', async () => (await small.node().metric('fanfare_connections')) === 2);
    await connectAs({}, 0, small);
  });

  it('applies to the connections of a subject on all nodes together', async () => {
    await using two = await startCluster({
      nodes: 2,
      env: await authEnv({ FANFARE_MAX_CONNECTIONS_PER_SUBJECT: '2' }),
    });
    const first = await connectAs({}, 0, two);
    await connectAs({}, 1, two);
    for (const node of [0, 1]) {
      const third = await two.connect(node);
      third.send({ type: 'connect', id: 1, token: await tokenOf() });
      expect(await within('the connection is closed', third.closed)).toEqual(closeReasons.tooManyConnections);
    }
    await first.close();
    await until('the slot is free', async () => {
      const next = await two.connect(1);
      next.send({ type: 'connect', id: 1, token: await tokenOf() });
      return Promise.race([next.next('connected').then(() => true), next.closed.then(() => false)]);
    });
  });

  it('does not count the connections of a killed node once its heartbeats are missing', async () => {
    await using redis = await startRedis();
    const env = await authEnv({ FANFARE_MAX_CONNECTIONS_PER_SUBJECT: '2', FANFARE_PROBE_INTERVAL_MS: '200' });
    await using killed = await startMortalNode(redis, env);
    await using left = await startCluster({ redis, env });
    for (const _ of [1, 2]) {
      const connection = await TestConnection.open(killed.url);
      expect(await connection.request({ type: 'connect', token: await tokenOf() })).toMatchObject({
        type: 'connected',
      });
    }
    const tryOnce = async (): Promise<boolean> => {
      const next = await left.connect();
      next.send({ type: 'connect', id: 1, token: await tokenOf() });
      return Promise.race([next.next('connected').then(() => true), next.closed.then(() => false)]);
    };
    expect(await tryOnce()).toBe(false);
    await killed.kill();
    await until('a slot is free again', tryOnce);
  });

  it('applies to each client address that trusted proxies report', async () => {
    const env = await authEnv({ FANFARE_MAX_CONNECTIONS_PER_ADDRESS: '1', FANFARE_TRUSTED_PROXIES: '127.0.0.1' });
    await using small = await startCluster({ env });
    const { url } = small.node();
    const socket = new WebSocket(url, { headers: { 'X-Forwarded-For': '192.0.2.1' } });
    await once(socket, 'open');
    expect(await statusOf(url, { 'X-Forwarded-For': '198.51.100.9, 192.0.2.1' })).toBe(429);
    expect(await statusOf(url, { 'X-Forwarded-For': '192.0.2.2' })).toBe(101);
    socket.terminate();
    await until('the slot is free', async () => (await statusOf(url, { 'X-Forwarded-For': '192.0.2.1' })) === 101);
  });

  // Issue 13, point 4.
  it.each([
    ['an address with port', (n: number) => ({ 'X-Forwarded-For': `192.0.2.1:${50_000 + n}` })],
    [
      'an IPv6 address in brackets with port',
      (n: number) => ({ 'X-Forwarded-For': `"[2001:db8::${n}]:${50_000 + n}"` }),
    ],
    ['unreadable', (n: number) => ({ 'X-Forwarded-For': `client-${n}` })],
    ['missing', () => ({})],
  ] as const)('applies to the right client address if X-Forwarded-For is %s', async (kind, headersOf) => {
    const env = await authEnv({ FANFARE_MAX_CONNECTIONS_PER_ADDRESS: '2', FANFARE_TRUSTED_PROXIES: '127.0.0.1' });
    await using small = await startCluster({ env });
    const { url, log } = small.node();
    const sockets = [1, 2].map((n) => new WebSocket(url, { headers: headersOf(n) }));
    await Promise.all(sockets.map((socket) => once(socket, 'open')));
    expect(await statusOf(url, headersOf(3))).toBe(429);
    // A client that the proxy names has a limit of its own.
    expect(await statusOf(url, { 'X-Forwarded-For': '203.0.113.9' })).toBe(101);
    const warnings = log.filter(({ event }) => event === 'clientAddressUnknown');
    const isNamed = kind !== 'unreadable' && kind !== 'missing';
    expect(warnings).toMatchObject(isNamed ? [] : [{ kind, proxy: '127.0.0.1' }]);
    for (const socket of sockets) socket.terminate();
  });

  it('applies to the connections of a node, its unauthenticated connections, and its handshakes', async () => {
    await using full = await startCluster({ env: { FANFARE_MAX_CONNECTIONS: '1' } });
    await full.connect();
    expect(await statusOf(full.node().url)).toBe(503);
    await using shy = await startCluster({ env: await authEnv({ FANFARE_MAX_CONNECTIONS: '20' }) });
    await shy.connect();
    await connectAs({}, 0, shy);
    await shy.connect();
    expect(await statusOf(shy.node().url)).toBe(503);
    await using slow = await startCluster({ env: { FANFARE_HANDSHAKES_PER_SECOND: '1' } });
    // At once: a slow machine makes one a second.
    const statuses = await Promise.all(Array.from({ length: 50 }, () => statusOf(slow.node().url)));
    expect(statuses).toContain(503);
    await until('a slot is free again', async () => (await statusOf(slow.node().url)) === 101);
  });

  it('of a subject does not grow if the subject disconnects and reconnects', async () => {
    await using small = await startCluster({ env: await authEnv({ FANFARE_PUBLISH_BYTES_RATE: '1024' }) });
    const connection = await connectAs({}, 0, small);
    // A minute refills this much.
    expect(await connection.publish('t', 'x'.repeat(60_000))).toMatchObject({ type: 'published' });
    await connection.close();
    await until(
      'the node has closed the connection',
      async () => (await small.node().metric('fanfare_connections')) === 0,
    );
    const again = await connectAs({}, 0, small);
    expect(await again.publish('t', 1)).toMatchObject({ code: 'rateLimited' });
    const other = await connectAs({ sub: 'bob' }, 0, small);
    expect(await other.publish('t', 1)).toMatchObject({ type: 'published' });
  });

  // Not concurrent: the node must not be busy with other tests between these publications.
  it.sequential('applies to the publications of a subject, but not to those of API keys', async () => {
    const env = await authEnv({ FANFARE_PUBLISH_RATE: '5', FANFARE_COMMAND_RATE: '5', FANFARE_MAX_SUBSCRIPTIONS: '5' });
    await using small = await startCluster({ env });
    const connection = await connectAs({}, 0, small);
    const replies = await Promise.all(Array.from({ length: 20 }, (_, data) => connection.publish('orders.t', data)));
    const refused = replies.filter(({ type }) => type === 'error');
    expect(refused.length).toBeGreaterThanOrEqual(8);
    expect(refused[0]).toMatchObject({ code: 'rateLimited', retryable: true });
    // Five a second: each refused client gets a retry time of its own.
    const times = refused.map((reply) => ('retryAfterMs' in reply && reply.retryAfterMs) || 0);
    expect(times[0]).toBeLessThanOrEqual(200);
    expect(times[7]).toBeGreaterThan(1_300);
    expect(replies.slice(0, 10).every(({ type }) => type === 'published')).toBe(true);
    for (let sent = 0; sent < 1_100; sent++) connection.send({ type: 'ping', id: null });
    expect(await within('the connection is closed', connection.closed)).toEqual(closeReasons.rateLimited);
    const service = await small.connect();
    await service.request({ type: 'connect', token: ordersKey });
    const all = await Promise.all(Array.from({ length: 100 }, (_, data) => service.publish('orders.t', data)));
    expect(all.every(({ type }) => type === 'published')).toBe(true);
  });

  it('applies to the bytes that all clients of a node together leave unread', async () => {
    const env = { FANFARE_MAX_TOTAL_BUFFERED_BYTES: '1048576', FANFARE_MAX_BUFFERED_BYTES: '1073741824' };
    await using small = await startCluster({ env });
    const lazy = await small.subscriber('t');
    const diligent = await small.subscriber('t');
    lazy.socket.pause();
    const publisher = await small.connect();
    const data = 'x'.repeat(60_000);
    // The node checks this once a second.
    await until('the node closes a client', async () => {
      for (let sent = 0; sent < 10; sent++) await publisher.publish('t', data);
      return (await small.node().metric('fanfare_connections_shed_total')) > 0;
    });
    expect(await small.node().metric('fanfare_connections_shed_total')).toBe(1);
    lazy.socket.resume();
    expect(await within('the connection is closed', lazy.closed)).toEqual(closeReasons.overloaded);
    await diligent.settle();
  });
});

describe('attempts to bypass limits', () => {
  it('with an invented address before that of the proxy fail', async () => {
    const env = await authEnv({ FANFARE_MAX_CONNECTIONS_PER_ADDRESS: '1', FANFARE_TRUSTED_PROXIES: '127.0.0.1' });
    await using small = await startCluster({ env });
    const { port } = small.node().broker;
    const answer = async (...forwarded: readonly string[]): Promise<string> => {
      const socket = connect(port, '127.0.0.1');
      const lines = [
        'GET /ws HTTP/1.1',
        'Host: x',
        'Upgrade: websocket',
        'Connection: Upgrade',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
        'Sec-WebSocket-Version: 13',
        ...forwarded.map((address) => `X-Forwarded-For: ${address}`),
      ];
      socket.write(`${lines.join('\r\n')}\r\n\r\n`);
      const [data] = await within('the node answers', once(socket, 'data'));
      sockets.push(socket);
      return String(data).slice(9, 12);
    };
    const sockets: Socket[] = [];
    expect(await answer('192.0.2.1')).toBe('101');
    // HAProxy adds a header behind that of the client.
    expect(await answer('203.0.113.5', '192.0.2.1')).toBe('429');
    for (const socket of sockets) socket.destroy();
  });

  it('with many connections from one address leave room for other addresses', async () => {
    const env = await authEnv({ FANFARE_HANDSHAKES_PER_SECOND: '50', FANFARE_TRUSTED_PROXIES: '127.0.0.1' });
    await using small = await startCluster({ env });
    const { url } = small.node();
    const startedAt = performance.now();
    const greedy = await Promise.all(
      Array.from({ length: 100 }, () => statusOf(url, { 'X-Forwarded-For': '192.0.2.1' })),
    );
    const seconds = (performance.now() - startedAt) / 1_000;
    // A quarter.
    expect(greedy.filter((status) => status === 101).length).toBeLessThan((1 + seconds) * 12.5 + 2);
    expect(greedy).toContain(429);
    for (let client = 0; client < 20; client++) {
      expect(await statusOf(url, { 'X-Forwarded-For': `198.51.100.${client}` })).toBe(101);
    }
    // Requests without a token do not reduce the number of handshakes either.
    await Promise.all(Array.from({ length: 60 }, () => post('/v1/tickets', null, '', 0, small)));
    expect(await statusOf(url, { 'X-Forwarded-For': '198.51.100.77' })).toBe(101);
  });

  // Issue 13, point 7.
  it('with tokens that only look like API keys, or with revoked keys, count against the limit of POST requests', async () => {
    await using small = await startCluster({ env: await authEnv({ FANFARE_HANDSHAKES_PER_SECOND: '1' }) });
    const statusesOf = async (token: string): Promise<number[]> => {
      const answers = await Promise.all(Array.from({ length: 30 }, () => post('/v1/tickets', token, '', 0, small)));
      return answers.map(({ status }) => status);
    };
    for (const fake of ['fk_nobody_nothing', 'fk_orders_nothing', `${ordersKey}x`]) {
      expect(await statusesOf(fake)).toContain(503);
    }
    // A valid key still works while they have exhausted the limit.
    expect(new Set(await statusesOf(ordersKey))).toEqual(new Set([201]));
    expect(await post('/v1/revocations', adminKey, '{"subject":"key:orders"}', 0, small)).toMatchObject({
      status: 202,
    });
    expect(await statusesOf(ordersKey)).toContain(503);
  });

  it('by reconnecting fail: the subject has still spent its budget', async () => {
    await using small = await startCluster({ env: await authEnv({ FANFARE_PUBLISH_RATE: '5' }) });
    let published = 0;
    const startedAt = performance.now();
    for (let visit = 0; visit < 5; visit++) {
      const connection = await connectAs({}, 0, small);
      const replies = await Promise.all(Array.from({ length: 10 }, (_, data) => connection.publish('t', data)));
      published += replies.filter(({ type }) => type === 'published').length;
      await connection.close();
    }
    const seconds = (performance.now() - startedAt) / 1_000;
    expect(published).toBeLessThan(10 + 5 * seconds + 2);
  });

  it('with commands that wait until the token is checked fail: these commands count too', async () => {
    await using small = await startCluster({ env: await authEnv({ FANFARE_PUBLISH_RATE: '5' }) });
    const connection = await small.connect();
    const publish = (id: number) => ({ type: 'publish', id, topic: 't', data: 1, messageId: null }) as const;
    connection.send(
      { type: 'connect', id: 1, token: await tokenOf() },
      ...Array.from({ length: 50 }, (_, index) => publish(index + 2)),
    );
    const isOutcome = ({ type }: { type: string }): boolean => type === 'published' || type === 'error';
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, () => connection.inbox.take('an outcome', isOutcome)),
    );
    expect(outcomes.filter(({ type }) => type === 'published')).toHaveLength(10);
  });

  it('with unreadable frames fail: these frames count too', async () => {
    await using small = await startCluster({
      env: await authEnv({ FANFARE_COMMAND_RATE: '5', FANFARE_MAX_SUBSCRIPTIONS: '5' }),
    });
    const connection = await connectAs({}, 0, small);
    const bad = { type: 'subscribe', id: null, topic: 'no topic', since: null } as const;
    connection.send(...Array.from({ length: 500 }, () => bad));
    connection.send(...Array.from({ length: 700 }, () => bad));
    expect(await within('the connection is closed', connection.closed)).toEqual(closeReasons.rateLimited);
  });

  it('with silent sockets are bounded, and do not affect connected clients', async () => {
    await using small = await startCluster({
      env: await authEnv({ FANFARE_MAX_CONNECTIONS: '10', FANFARE_MAX_UNAUTHENTICATED_PERCENT: '50' }),
    });
    const inside = await connectAs({}, 0, small);
    const silent = Array.from({ length: 200 }, () => connect(small.node().broker.port, '127.0.0.1'));
    for (const socket of silent) socket.on('error', () => undefined);
    await until('the node has closed some sockets', () => silent.filter(({ closed }) => closed).length >= 60);
    await inside.settle();
    for (const socket of silent) socket.destroy();
    await until('the node accepts connections again', async () => (await statusOf(small.node().url)) === 101);
  });
});

describe('a messageId', () => {
  const messageId = 'invoice-17';

  /**
   * Opens a connection for each token, on each node in turn, and publishes the same messageId on each. Returns the
   * offsets.
   */
  async function offsetsOf(of: TestCluster, topic: string, tokens: readonly (string | null)[]): Promise<unknown[]> {
    const offsets: unknown[] = [];
    for (const [index, token] of tokens.entries()) {
      const connection = await of.connect(index % of.nodes.length);
      if (token !== null) await connection.request({ type: 'connect', token });
      const reply = await connection.request({ type: 'publish', topic, data: index, messageId });
      offsets.push(reply.type === 'published' ? reply.position?.offset : reply);
    }
    return offsets;
  }

  const serviceKey = (id: string): string => `fk_${id}_Jx1yZ4aB7cD0eF3gH6iJ9kL2mN5oP8qR`;
  const entryOf = async (id: string, messageIdGroup?: string) => {
    return { id, sha256: await sha256(serviceKey(id)), permissions: { publish: ['>'] }, messageIdGroup };
  };

  describe.each([
    ['one node', 1],
    ['nodes that share a Redis', 2],
  ])('at %s', (_, nodes) => {
    it('of another subject is a different messageId', async () => {
      await using of = await startCluster({ nodes, env: await authEnv() });
      const [ada, eve] = [await tokenOf({ sub: 'ada' }), await tokenOf({ sub: 'eve' })];
      // eve cannot detect that ada has used it, and cannot suppress a publication of ada by using it first.
      expect(await offsetsOf(of, 't', [ada, eve, eve, ada, ada])).toEqual([1, 2, 2, 1, 1]);
      expect(await offsetsOf(of, 'u', [eve, ada, ada, eve])).toEqual([1, 2, 2, 1]);
    });

    it('of the same subject of another issuer is a different messageId', async () => {
      const issuers = [issuer, 'https://other.test'].map((name) => {
        return { issuer: name, audience: 'fanfare', keys: [{ algorithm: 'HS256', secret }] };
      });
      await using of = await startCluster({ nodes, env: { FANFARE_AUTH: JSON.stringify({ issuers }) } });
      const [one, other] = [await tokenOf(), await tokenOf({ by: 'https://other.test' })];
      expect(await offsetsOf(of, 't', [one, other, one, other])).toEqual([1, 2, 1, 2]);
    });

    it('is shared by services with the same messageIdGroup, and by no others', async () => {
      const apiKeys = await Promise.all([
        entryOf('a', 'invoices'),
        entryOf('b', 'invoices'),
        entryOf('c', 'orders'),
        entryOf('invoices'),
        entryOf('d'),
      ]);
      await using of = await startCluster({ nodes, env: { FANFARE_AUTH: JSON.stringify({ apiKeys }) } });
      const keys = ['a', 'b', 'c', 'invoices', 'd', 'b', 'c', 'd'].map(serviceKey);
      expect(await offsetsOf(of, 't', keys)).toEqual([1, 1, 2, 3, 4, 1, 2, 4]);
    });

    it('is shared by all clients if there is no authentication', async () => {
      await using of = await startCluster({ nodes });
      expect(await offsetsOf(of, 't', [null, null, null])).toEqual([1, 1, 1]);
    });
  });
});

describe('a hook', () => {
  /**
   * A node with a hook that returns these answers, and the questions that the hook received. `more`: other settings of
   * the hook.
   */
  async function hooked(
    events: readonly string[],
    decide: (question: Question) => object | Promise<object>,
    more: Readonly<Record<string, unknown>> = {},
  ) {
    const asked: Question[] = [];
    const server = createServer(async (request, response) => {
      const question = JSON.parse(await text(request)) as Question;
      asked.push(question);
      response.end(JSON.stringify(await decide(question)));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const auth = JSON.parse((await authEnv())['FANFARE_AUTH'] ?? '') as object;
    const FANFARE_AUTH = JSON.stringify({ ...auth, hook: { url, events, ...more } });
    const of = await startCluster({ env: { FANFARE_AUTH, FANFARE_TOPICS: '{"fast.>":{"level":"fast"}}' } });
    const dispose = async (): Promise<void> => {
      await of[Symbol.asyncDispose]();
      server.closeAllConnections();
      server.close();
    };
    return { of, asked, [Symbol.asyncDispose]: dispose };
  }

  it('decides who may connect', async () => {
    await using node = await hooked(['connect'], ({ subject }) => ({ allow: subject !== 'eve', reason: 'Not you.' }));
    await connectAs({ sub: 'ada' }, 0, node.of);
    const refused = await node.of.connect();
    refused.send({ type: 'connect', id: 1, token: await tokenOf({ sub: 'eve' }) });
    expect(await refused.next('error')).toMatchObject({ id: 1, code: 'notPermitted', message: 'Not you.' });
    expect(await within('the connection is closed', refused.closed)).toEqual(closeReasons.unauthenticated);
    expect(node.asked[0]).toMatchObject({ event: 'connect', issuer, subject: 'ada', topic: null });
  });

  it('decides about publications one after another, so that their order does not change', async () => {
    const waits: Array<() => void> = [];
    await using node = await hooked(['publish'], async ({ topic }) => {
      // The first answer is the slowest.
      if (waits.length === 0) await new Promise<void>((resolve) => waits.push(resolve));
      return { allow: topic !== 'no' };
    });
    const subscriber = await connectAs({ sub: 'bob' }, 0, node.of);
    await subscriber.subscribe('t');
    const connection = await connectAs({}, 0, node.of);
    const publish = (topic: string, data: number) =>
      ({ type: 'publish', id: data, topic, data, messageId: null }) as const;
    connection.send(publish('t', 1), publish('no', 2), publish('t', 3), { type: 'ping', id: 4 });
    await until('the hook is asked', () => node.asked.length === 1);
    expect(connection.inbox.waiting).toEqual([]);
    waits[0]?.();
    expect(await connection.next('pong')).toMatchObject({ id: 4 });
    expect(await connection.next('error')).toMatchObject({ id: 2, code: 'notPermitted' });
    expect(await subscriber.take('t', 2)).toEqual([1, 3]);
    expect(node.asked.map(({ topic }) => topic)).toEqual(['t', 'no', 't']);
  });

  const page = { type: 'history', since: null, limit: null, direction: null } as const;

  it('is asked one question by every command that reads a topic, and a refused command reveals nothing about the topic', async () => {
    const message = 'You are banned from this room.';
    await using node = await hooked(['subscribe'], () => ({ allow: false, reason: message }));
    const writer = await connectAs({ sub: 'writer' }, 0, node.of);
    const published = await writer.publish('room.full', 'a secret of the room');
    expect(published.type).toBe('published');
    const since = published.type === 'published' ? published.position : null;
    const mayHistory = await connectAs({ sub: 'reader', permissions: { history: ['>'] } }, 0, node.of);
    const maySubscribe = await connectAs({ permissions: { subscribe: ['>'] } }, 0, node.of);
    const histories = [page, { ...page, direction: 'backward' }, { ...page, since }] as const;
    const subscribes = [null, since].map((from) => ({ type: 'subscribe', since: from }) as const);
    for (const [connection, commands] of [
      [mayHistory, histories],
      [maySubscribe, [...histories, ...subscribes]],
    ] as const) {
      for (const command of commands) {
        for (const topic of ['room.full', 'room.that-nobody-uses', 'fast.room']) {
          const { id, ...answer } = await connection.request({ ...command, topic });
          expect(answer).toEqual({
            type: 'error',
            code: 'notPermitted',
            message,
            retryable: false,
            retryAfterMs: null,
          });
          expect(node.asked.pop()).toMatchObject({ event: 'subscribe', topic });
          expect(node.asked).toEqual([]);
        }
      }
    }
    // If the token does not grant it, the node does not ask the hook.
    expect(await mayHistory.subscribe('room.full')).toMatchObject({ code: 'notPermitted' });
    expect(node.asked).toEqual([]);
  });

  it('is not asked about a topic again while the connection is subscribed to it', async () => {
    let allow = true;
    await using node = await hooked(['subscribe'], () => ({ allow }));
    const connection = await connectAs({}, 0, node.of);
    connection.send(
      { type: 'subscribe', id: 1, topic: 't', since: null },
      { ...page, id: 2, topic: 't' },
      { type: 'subscribe', id: 3, topic: 't', since: null },
    );
    expect(await connection.next('subscribed')).toMatchObject({ id: 1 });
    expect(await connection.next('history')).toMatchObject({ id: 2 });
    expect(await connection.next('error')).toMatchObject({ id: 3, code: 'alreadySubscribed' });
    allow = false;
    expect(await connection.request({ ...page, topic: 't' })).toMatchObject({ type: 'history' });
    expect(node.asked).toHaveLength(1);
    expect(await connection.request({ ...page, topic: 'other' })).toMatchObject({ code: 'notPermitted' });
    await connection.unsubscribe('t');
    expect(await connection.request({ ...page, topic: 't' })).toMatchObject({ code: 'notPermitted' });
    expect(await connection.subscribe('t')).toMatchObject({ code: 'notPermitted' });
    expect(node.asked.map(({ topic }) => topic)).toEqual(['t', 'other', 't', 't']);
  });

  it('that has reached its limit of questions refuses histories too, even if it allows requests while it is down', async () => {
    const answers: (() => void)[] = [];
    await using node = await hooked(
      ['subscribe'],
      async () => {
        await new Promise<void>((resolve) => answers.push(resolve));
        return { allow: true };
      },
      { maxConcurrent: 1, whenDown: 'allow', timeoutMs: 60_000 },
    );
    const first = await connectAs({}, 0, node.of);
    const second = await connectAs({}, 0, node.of);
    const waiting = first.request({ ...page, topic: 't' });
    await until('the hook is asked', () => answers.length === 1);
    expect(await second.request({ ...page, topic: 't' })).toMatchObject({ code: 'unavailable', retryable: true });
    answers[0]?.();
    expect(await waiting).toMatchObject({ type: 'history' });
  });

  it('that responds slowly does not let in a client that is revoked in the meantime, also if the connection is revoked by name', async () => {
    for (const by of ['subject', 'connection'] as const) {
      const answer: { go: () => void } = { go: () => undefined };
      await using node = await hooked(['connect'], async () => {
        await new Promise<void>((resolve) => {
          answer.go = resolve;
        });
        return { allow: true };
      });
      const waiting = await node.of.connect();
      waiting.send({ type: 'connect', id: 1, token: await tokenOf({ sub: 'mallory' }) });
      const { subject, connection } = await until('the hook is asked', () => node.asked[0]);
      await post(
        '/v1/revocations',
        adminKey,
        JSON.stringify({ [by]: by === 'subject' ? subject : connection }),
        0,
        node.of,
      );
      answer.go();
      expect(await waiting.next('error')).toMatchObject({
        id: 1,
        code: 'invalidToken',
        message: 'The token was revoked.',
      });
      expect(await within('the connection is closed', waiting.closed)).toEqual(closeReasons.unauthenticated);
    }
  });

  it('ends a connection that is revoked by its name', async () => {
    await using node = await hooked(['connect'], () => ({ allow: true }));
    const one = await connectAs({}, 0, node.of);
    const other = await connectAs({}, 0, node.of);
    const [first] = node.asked;
    await post('/v1/revocations', adminKey, JSON.stringify({ connection: first?.connection }), 0, node.of);
    expect(await within('the connection is closed', one.closed)).toEqual(closeReasons.revoked);
    await other.settle();
  });
});

describe('the log of a node', () => {
  it('contains each refusal at level debug: connection, subject, topic and origin', async () => {
    const env = await authEnv({ FANFARE_LOG_LEVEL: 'debug', FANFARE_ORIGINS: 'https://app.example.com' });
    await using talkative = await startCluster({ env: { ...env, FANFARE_PUBLISH_RATE: '1' } });
    const { log, url } = talkative.node();
    const connection = await connectAs({ permissions: { publish: ['open.>'] } }, 0, talkative);
    await connection.publish('secret.t', 1);
    await connection.subscribe('no topic');
    for (let sent = 0; sent < 2; sent++) await connection.publish('open.t', sent);
    await statusOf(url, { Origin: 'https://evil.example' });
    const refusals = log.filter(({ event }) => event === 'refused' || event === 'handshakeRefused');
    expect(refusals).toMatchObject([
      { subject: 'ada', command: 'publish', topic: 'secret.t', code: 'notPermitted' },
      { subject: 'ada', code: 'invalidTopic' },
      { subject: 'ada', command: 'publish', topic: 'open.t', code: 'rateLimited' },
      { status: '403 Forbidden', origin: 'https://evil.example', address: '127.0.0.1' },
    ]);
    expect(refusals[3]?.msg).toBe('The origin … is not allowed. FANFARE_ORIGINS lists the allowed origins.');
    expect(new Set(refusals.slice(0, 3).map(({ connection: name }) => name)).size).toBe(1);
    // Otherwise they are not logged one by one.
    await using quiet = await startCluster({ env });
    expect(quiet.node().log.some(({ event }) => event === 'refused')).toBe(false);
  });

  it('does not repeat unreadable input at level debug, since it may contain a secret', async () => {
    const env = await authEnv({ FANFARE_LOG_LEVEL: 'debug', FANFARE_ORIGINS: 'https://app.example.com' });
    await using talkative = await startCluster({ env });
    const { log, url } = talkative.node();
    const planted = 'S3CR3T';
    const connection = await talkative.connect(0, 'json');
    await connection.request({ type: 'connect', token: await tokenOf() });
    const unreadable = [
      planted,
      JSON.stringify({ type: planted }),
      JSON.stringify({ type: 'subscribe', topic: `${planted} *` }),
      JSON.stringify({ type: 'publish', topic: 't', data: 1, messageId: `${planted}é` }),
    ];
    for (const frame of unreadable) {
      connection.sendRaw(frame);
      await connection.next('error');
    }
    const bad = await talkative.connect(0, 'json');
    bad.send({ type: 'connect', id: 1, token: await tokenOf({ permissions: { [planted]: ['>'] } }) });
    await within('the connection is closed', bad.closed);
    const page = `https://${planted}:${planted}@evil.example/${planted}`;
    expect(await statusOf(url, { Origin: page })).toBe(403);
    const http = url.replace('ws', 'http');
    const headers = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': `${'A'.repeat(22)}==` };
    for (const wrong of [
      { ...headers, 'Sec-WebSocket-Version': planted },
      { ...headers, 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Protocol': `bearer, ${planted}` },
    ]) {
      const [response] = await once(get(http, { headers: wrong }), 'response');
      expect(await text(response)).toContain(planted);
    }
    const refusals = log.filter(({ event }) => event === 'refused' || event === 'handshakeRefused');
    // The connection that is closed causes two lines.
    expect(refusals).toHaveLength(unreadable.length + 2 + 3);
    expect(JSON.stringify(log)).not.toContain(planted);
    expect(refusals.map(({ msg }) => msg)).toContain('Sec-WebSocket-Version must be 13, not "…".');
  });

  it('contains no tokens, tickets, keys or payloads', async () => {
    await using talkative = await startCluster({ env: await authEnv({ FANFARE_LOG_LEVEL: 'debug' }) });
    const token = await tokenOf();
    const connection = await talkative.connect();
    await connection.request({ type: 'connect', token });
    await connection.publish('t', 'very private');
    const bad = await talkative.connect();
    bad.send({ type: 'connect', id: 1, token: `${token}x` });
    await bad.closed;
    await statusOf(`${talkative.node().url}?ticket=${'A'.repeat(43)}`);
    const log = JSON.stringify(talkative.node().log);
    for (const secretText of [token, secret, adminKey, 'A'.repeat(43), 'very private'])
      expect(log).not.toContain(secretText);
  });
});
