/**
 * Revocations on running nodes: while Redis is full, while a node is disconnected from it, and when an issuer withdraws
 * a key.
 */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { FaultProxy, startRedis } from '@fanfare/local-cluster';
import { closeReasons } from '@fanfare/protocol';
import { Redis } from 'ioredis';
import { SignJWT } from 'jose';
import { pino } from 'pino';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type ApiParts, NodeApi } from '../src/api/api.js';
import type { Identity } from '../src/auth/identity.js';
import { retryMs } from '../src/auth/jwks.js';
import { MemoryAuthStore } from '../src/auth/memory-auth-store.js';
import { maxRevocations, Revocations } from '../src/auth/revocations.js';
import { startCluster, type TestCluster } from './harness.js';
import type { TestConnection } from './test-connection.js';
import { until, within } from './wait.js';

const secret = 'a secret that is known to this test only';
const issuer = 'https://id.test';
const adminKey = 'fk_admin_Vd2rV1cW0e5vG8hJ3kM6nP9qS2tU5wX8';
const apiKeys = [
  { id: 'admin', sha256: createHash('sha256').update(adminKey).digest('hex'), permissions: {}, admin: true },
];
const env = {
  FANFARE_AUTH: JSON.stringify({ issuers: [{ issuer, keys: [{ algorithm: 'HS256', secret }] }], apiKeys }),
};

type SigningKey = Parameters<SignJWT['sign']>[0];

function tokenOf(
  sub: string,
  header: { readonly alg: string; readonly kid?: string } = { alg: 'HS256' },
  key: SigningKey = Buffer.from(secret),
): Promise<string> {
  // Like a token that was issued a minute ago.
  const now = Math.floor(Date.now() / 1_000) - 60;
  return new SignJWT({ fanfare: { publish: ['>'], subscribe: ['>'] } })
    .setProtectedHeader(header)
    .setIssuer(issuer)
    .setSubject(sub)
    .setIssuedAt(now)
    .setExpirationTime(now + 3_600)
    .sign(key);
}

/** Retries, like a client, if the node asks for it. */
async function connectWith(token: string, node: number, cluster: TestCluster): Promise<TestConnection> {
  return until('the client is connected', async () => {
    const connection = await cluster.connect(node);
    const reply = await connection.request({ type: 'connect', token });
    if (reply.type === 'connected') return connection;
    expect(reply).toMatchObject({ retryable: true });
    return null;
  });
}

async function revoke(body: object, node: number, cluster: TestCluster) {
  const response = await fetch(`http://127.0.0.1:${cluster.node(node).broker.port}/v1/revocations`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${adminKey}` },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

/** Expects that the token is refused, and the connection closed. */
async function refused(token: string, node: number, cluster: TestCluster) {
  const connection = await cluster.connect(node);
  const error = await connection.request({ type: 'connect', token });
  return { error, closed: await within('the connection is closed', connection.closed) };
}

const isRevoked = {
  error: { type: 'error', code: 'invalidToken', message: 'The token was revoked.' },
  closed: closeReasons.unauthenticated,
};

it.each(['shards', 'cluster'] as const)('a revocation ends the connections at other nodes, with %s', async (redis) => {
  await using cluster = await startCluster({ nodes: 2, redis, env });
  const token = await tokenOf('mallory');
  const there = await connectWith(token, 1, cluster);
  expect(await revoke({ subject: 'mallory' }, 0, cluster)).toEqual({ status: 202, body: {} });
  expect(await within('the connection is closed', there.closed)).toEqual(closeReasons.revoked);
  for (const node of [0, 1]) expect(await refused(token, node, cluster)).toMatchObject(isRevoked);
});

it('a broker with another prefix knows the copied revocations, and outlives the old data (docs/operations.md, Upgrades)', async () => {
  await using redis = await startRedis();
  const admin = new Redis(redis.url);
  const token = await tokenOf('mallory');
  {
    await using old = await startCluster({ redis, env });
    expect(await revoke({ subject: 'mallory' }, 0, old)).toEqual({ status: 202, body: {} });
  }
  await admin.set('fanfare:layout', '2');
  await admin.copy('fanfare:revocations', 'fanfare2:revocations');
  await using cluster = await startCluster({ redis, env: { ...env, FANFARE_REDIS_PREFIX: 'fanfare2' } });
  expect(await refused(token, 0, cluster)).toMatchObject(isRevoked);
  const writer = await connectWith(await tokenOf('alice'), 0, cluster);
  expect(await writer.publish('t', 1)).toMatchObject({ type: 'published', position: { offset: 1 } });
  await admin.unlink(...(await admin.keys('fanfare:*')));
  expect(await writer.publish('t', 2)).toMatchObject({ type: 'published', position: { offset: 2 } });
  expect(await refused(token, 0, cluster)).toMatchObject(isRevoked);
  admin.disconnect();
});

describe('while Redis is full', () => {
  it('a revocation still ends the connections of a subject on all nodes, and its token is refused', async () => {
    await using redis = await startRedis();
    await using cluster = await startCluster({ nodes: 2, redis, env });
    const token = await tokenOf('mallory');
    const [here, there] = [await connectWith(token, 0, cluster), await connectWith(token, 1, cluster)];
    const direct = new Redis(redis.url);
    await direct.config('SET', 'maxmemory', '1');
    expect(await here.publish('t', 1)).toMatchObject({ code: 'unavailable' });
    expect(await revoke({ subject: 'mallory' }, 0, cluster)).toEqual({ status: 202, body: {} });
    expect(await within('the connection is closed', here.closed)).toEqual(closeReasons.revoked);
    expect(await within('the connection is closed', there.closed)).toEqual(closeReasons.revoked);
    for (const node of [0, 1]) expect(await refused(token, node, cluster)).toMatchObject(isRevoked);
    direct.disconnect();
  });
});

// Concurrent: they wait until a list is too old.
describe.concurrent('a node that is disconnected from Redis', () => {
  async function startWithOneCutOff() {
    const redis = await startRedis();
    const way = await FaultProxy.start({ targetPort: redis.port });
    const lag = { FANFARE_MAX_REVOCATION_LAG_SECONDS: '5' };
    const cluster = await startCluster({
      nodes: 2,
      redis,
      env: { ...env, ...lag },
      envOf: (node) => (node === 1 ? { FANFARE_REDIS_URL: `redis://${way.address}` } : {}),
    });
    return {
      cluster,
      way,
      async [Symbol.asyncDispose]() {
        for (const part of [cluster, way, redis]) await part[Symbol.asyncDispose]();
      },
    };
  }

  it('accepts no token if its revocation list is too old, and closes revoked connections as soon as it has the list', async () => {
    await using parts = await startWithOneCutOff();
    const { cluster, way } = parts;
    const token = await tokenOf('mallory');
    const there = await connectWith(token, 1, cluster);
    const other = await connectWith(await tokenOf('ada'), 1, cluster);
    await way.refuse();
    expect(await revoke({ subject: 'mallory' }, 0, cluster)).toMatchObject({ status: 202 });
    await until('the node accepts no token', async () => {
      await using connection = await cluster.connect(1);
      return (await connection.request({ type: 'connect', token })).type === 'error';
    });
    const unavailable = {
      type: 'error',
      code: 'unavailable',
      retryable: true,
      message: 'This node has no current revocation list from Redis, so it accepts no token. Retry.',
    };
    expect(await refused(await tokenOf('bob'), 1, cluster)).toMatchObject({
      error: unavailable,
      closed: closeReasons.authenticationTimeout,
    });
    expect(await there.request({ type: 'refresh', token })).toMatchObject(unavailable);
    const ticket = await fetch(`http://127.0.0.1:${cluster.node(1).broker.port}/v1/tickets`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}` },
    });
    expect(ticket.status).toBe(503);
    expect(await cluster.node(1).metric('fanfare_revocation_lag_seconds')).toBeGreaterThan(5);
    expect(await cluster.node(0).metric('fanfare_revocation_lag_seconds')).toBeLessThan(3_600);
    await way.heal();
    expect(await within('the connection is closed', there.closed)).toEqual(closeReasons.revoked);
    await connectWith(await tokenOf('bob'), 1, cluster);
    expect(await refused(token, 1, cluster)).toMatchObject(isRevoked);
    await other.settle();
  });

  it('applies a revocation at once, replies that other nodes may not have it, and sends it to them when it can', async () => {
    await using parts = await startWithOneCutOff();
    const { cluster, way } = parts;
    const token = await tokenOf('mallory');
    const [there, here] = [await connectWith(token, 0, cluster), await connectWith(token, 1, cluster)];
    await way.refuse();
    // Longer than a node may be without Redis: a revocation does not need to wait for that.
    await until(
      'the revocation list is too old',
      async () => (await cluster.node(1).metric('fanfare_revocation_lag_seconds')) > 5,
    );
    expect(await revoke({ subject: 'mallory' }, 1, cluster)).toMatchObject({
      status: 503,
      body: { code: 'unavailable', detail: expect.stringMatching(/^Revoked on this node, .* is 202\.$/) },
    });
    expect(await within('the connection is closed', here.closed)).toEqual(closeReasons.revoked);
    await there.settle();
    await way.heal();
    expect(await within('the connection is closed', there.closed)).toEqual(closeReasons.revoked);
    expect(await refused(token, 0, cluster)).toMatchObject(isRevoked);
  });
});

describe('a key that its issuer withdraws', () => {
  const closing: (() => void)[] = [];
  afterEach(() => {
    vi.restoreAllMocks();
    for (const close of closing.splice(0)) close();
  });

  async function serve(answer: (body: string) => Promise<object> | object): Promise<string> {
    const server = createServer(async (request, response) => {
      response.end(JSON.stringify(await answer(await text(request))));
    }).listen(0);
    await once(server, 'listening');
    closing.push(() => server.close());
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  }

  it('ends the connections with tokens that it signed, so that clients get new tokens', async () => {
    const [old, fresh] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];
    const jwkOf = ({ publicKey }: typeof old, kid: string) => ({ ...publicKey.export({ format: 'jwk' }), kid });
    const published = [jwkOf(old, 'old'), jwkOf(fresh, 'fresh')];
    const jwksUrl = await serve(() => ({ keys: published }));
    const asked: string[] = [];
    const late = { decide: (): void => undefined };
    const hookUrl = await serve(async (body) => {
      const { subject } = JSON.parse(body) as { subject: string };
      asked.push(subject);
      if (subject === 'late') await new Promise<void>((resolve) => Object.assign(late, { decide: resolve }));
      return { allow: true };
    });
    const hook = { url: hookUrl, events: ['connect'], timeoutMs: 60_000 };
    const auth = { issuers: [{ issuer, jwksUrl }], apiKeys, hook };
    await using cluster = await startCluster({ env: { FANFARE_AUTH: JSON.stringify(auth) } });
    const oldTokenOf = (sub: string, kid = 'old') => tokenOf(sub, { alg: 'EdDSA', kid }, old.privateKey);
    const freshToken = await tokenOf('ada', { alg: 'EdDSA', kid: 'fresh' }, fresh.privateKey);
    const ofOld = await connectWith(await oldTokenOf('ada'), 0, cluster);
    const ofFresh = await connectWith(freshToken, 0, cluster);
    const ofService = await connectWith(adminKey, 0, cluster);
    const waiting = await cluster.connect();
    waiting.send({ type: 'connect', id: 1, token: await oldTokenOf('late') });
    await until('the node asks the hook', () => asked.includes('late'));
    published.shift();
    // A token with an unknown key makes the node read the keys again, after a minimum pause.
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + retryMs);
    await refused(await oldTokenOf('ada', 'unknown'), 0, cluster);
    expect(await within('the connection is closed', ofOld.closed)).toEqual(closeReasons.tokenExpired);
    late.decide();
    expect(await waiting.next('error')).toMatchObject({
      code: 'invalidToken',
      message: 'The issuer has removed the key that signed the token.',
    });
    await ofFresh.settle();
    await ofService.settle();
    expect(await cluster.node().metric('fanfare_connections_key_removed_total')).toBe(1);
  });
});

describe('a full revocation list', () => {
  it('refuses a new revocation, but accepts one that it already contains', async () => {
    const revocations = new Revocations(3_600_000);
    for (let index = 0; index < maxRevocations; index++) {
      revocations.add(revocations.create('subject', `s${index}`, Date.now()));
    }
    const store = new MemoryAuthStore((news) => {
      for (const revocation of news) revocations.add(revocation);
    });
    const admin = { subject: 'key:admin', issuer: null, signedWith: null, tokenId: null, isAdmin: true } as Identity;
    const parts = {
      authenticator: { authenticate: async () => admin, isApiKey: (subject: string) => subject === 'key:admin' },
      ...{ revocations, store, counters: { ticketsIssued: 0 }, log: pino({ level: 'silent' }) },
    };
    const api = new NodeApi(parts as unknown as ApiParts);
    const answerTo = (subject: string) => api.revoke(adminKey, Buffer.from(JSON.stringify({ subject })));
    await answerTo('s0');
    await expect(answerTo('another')).rejects.toMatchObject({
      code: 'overloaded',
      message: expect.stringMatching(/^The limit of 250000 revocations is reached\. .*\.$/),
    });
    // A name that no subject can have is not a revocation, and takes no space.
    for (const wrong of ['key:no_key', 'x'.repeat(129)])
      await expect(answerTo(wrong)).rejects.toMatchObject({ code: 'malformed' });
    expect(revocations.size).toBe(maxRevocations);
    // The key that may have filled the list can still be revoked.
    await answerTo('key:admin');
  });
});
