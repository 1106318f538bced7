/** Who an event stream belongs to: tokens, tickets that survive a reconnect, cookies, expiry and revocation. */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import { SignJWT } from 'jose';
import { afterEach, describe, expect, it } from 'vitest';
import { maxStreamTopics } from '../src/streams/stream-request.js';
import { startCluster, type TestCluster } from './harness.js';
import { TestStream } from './test-stream.js';
import { until, within } from './wait.js';

const secret = 'a secret that is known to this test only';
const issuer = 'https://id.test';
const adminKey = 'fk_admin_Vd2rV1cW0e5vG8hJ3kM6nP9qS2tU5wX8';
const hash = createHash('sha256').update(adminKey).digest('hex');
const auth = {
  issuers: [{ issuer, clockSkewSeconds: 0, keys: [{ algorithm: 'HS256', secret }] }],
  apiKeys: [{ id: 'admin', sha256: hash, permissions: { publish: ['>'], subscribe: ['>'] }, admin: true }],
};
const env = { FANFARE_AUTH: JSON.stringify(auth) };

const streams: TestStream[] = [];
afterEach(async () => {
  for (const stream of streams.splice(0)) await stream[Symbol.asyncDispose]();
});

interface TokenOptions {
  readonly seconds?: number;
  readonly jti?: string;
  readonly grants?: object;
}

function tokenOf(
  sub: string,
  { seconds = 3_600, jti, grants = { subscribe: ['a', 'b'] } }: TokenOptions = {},
): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  const token = new SignJWT({ fanfare: grants })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer(issuer)
    .setSubject(sub)
    // Like a token that was issued a minute ago.
    .setIssuedAt(now - 60)
    .setExpirationTime(now + seconds);
  if (jti !== undefined) token.setJti(jti);
  return token.sign(Buffer.from(secret));
}

async function open(
  cluster: TestCluster,
  query: string,
  headers: Record<string, string> = {},
  node = 0,
): Promise<TestStream> {
  const stream = await TestStream.open(cluster.node(node).broker.port, `/v1/events?${query}`, headers);
  streams.push(stream);
  return stream;
}

async function post(cluster: TestCluster, path: string, token: string, body?: unknown, node = 0): Promise<Response> {
  return fetch(`http://127.0.0.1:${cluster.node(node).broker.port}/v1/${path}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function ticketFor(cluster: TestCluster, token: string, node = 0): Promise<string> {
  const answer = await post(cluster, 'tickets', token, undefined, node);
  return ((await answer.json()) as { ticket: string }).ticket;
}

const publish = async (cluster: TestCluster, data: unknown): Promise<void> => {
  expect((await post(cluster, 'topics/a/publications', adminKey, data)).status).toBe(200);
};

const revoke = async (cluster: TestCluster, body: object): Promise<void> => {
  expect((await post(cluster, 'revocations', adminKey, body)).status).toBe(202);
};

const problemOf = async (stream: TestStream): Promise<unknown> => {
  const pieces: string[] = [];
  stream.response.on('data', (piece) => pieces.push(String(piece)));
  await within('the answer ends', stream.ended);
  return { status: stream.status, ...(JSON.parse(pieces.join('')) as object) };
};

describe('an event stream needs a token', () => {
  it('in the header, and gets what the token permits', async () => {
    await using cluster = await startCluster({ env });
    const bearer = { Authorization: `Bearer ${await tokenOf('anna')}` };
    const stream = await open(cluster, 'topic=a', bearer);
    expect((await stream.next('ready')).id).not.toContain('~');
    await publish(cluster, 1);
    expect(await stream.take(1)).toEqual([1]);
    expect(await problemOf(await open(cluster, 'topic=a'))).toMatchObject({ status: 401, code: 'unauthenticated' });
    expect(await problemOf(await open(cluster, 'topic=a&topic=c', bearer))).toMatchObject({
      status: 403,
      code: 'notPermitted',
    });
    const wrong = await open(cluster, 'topic=a', { Authorization: 'Bearer x.y.z' });
    expect(wrong.response.headers['www-authenticate']).toContain('invalid_token');
    expect(await problemOf(wrong)).toMatchObject({ status: 401, code: 'invalidToken' });
    expect(await problemOf(await open(cluster, 'topic=a&ticket=x'))).toMatchObject({ status: 401 });
    const old = { Authorization: `Bearer ${await tokenOf('anna', { seconds: -1 })}` };
    expect(await problemOf(await open(cluster, 'topic=a', old))).toMatchObject({ status: 401, code: 'tokenExpired' });
    const node = cluster.node();
    expect(await node.metric('fanfare_connections')).toBe(1);
    expect(await node.metric('fanfare_subscriptions')).toBe(1);
    expect(await node.metric('fanfare_connections_unauthenticated')).toBe(0);
  });

  it('in a cookie, if the setting names it and the page is allowed by name', async () => {
    const page = 'https://app.test';
    await using cluster = await startCluster({
      env: { ...env, FANFARE_COOKIE_NAME: 'session', FANFARE_ORIGINS: page },
    });
    const cookie = `theme=dark; session=${await tokenOf('anna')}`;
    const stream = await open(cluster, 'topic=a', { Cookie: cookie, Origin: page });
    await stream.next('ready');
    expect(stream.response.headers).toMatchObject({
      'access-control-allow-origin': page,
      'access-control-allow-credentials': 'true',
      vary: 'Origin',
    });
    await (await open(cluster, 'topic=a', { Cookie: cookie, 'Sec-Fetch-Site': 'same-origin' })).next('ready');
    const other = await open(cluster, 'topic=a', { Cookie: cookie, Origin: 'https://evil.test' });
    expect(other.status).toBe(403);
    const image = await open(cluster, 'topic=a', { Cookie: cookie, 'Sec-Fetch-Site': 'cross-site' });
    expect(await problemOf(image)).toMatchObject({ status: 401, code: 'unauthenticated' });
    const publishing = await fetch(`http://127.0.0.1:${cluster.node().broker.port}/v1/topics/a/publications`, {
      method: 'POST',
      headers: { Cookie: cookie, 'Content-Type': 'application/json' },
      body: '1',
    });
    expect(publishing.status).toBe(401);
  });

  it('and no cookie, if the setting does not name one', async () => {
    await using cluster = await startCluster({ env });
    const stream = await open(cluster, 'topic=a', { Cookie: `session=${await tokenOf('anna')}` });
    expect(stream.status).toBe(401);
  });
});

describe('a stream that began with a ticket', () => {
  it('resumes with its id when the ticket is used up, on any node, and again', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    const ticket = await ticketFor(cluster, await tokenOf('anna', { jti: 'token-1' }));
    const first = await open(cluster, `topic=a&ticket=${ticket}`);
    await first.next('ready');
    await publish(cluster, 1);
    expect(await first.take(1)).toEqual([1]);
    expect(first.lastId).toMatch(/^\d+-1~[A-Za-z0-9_-]+$/);
    first.close();
    await publish(cluster, 2);
    expect((await open(cluster, `topic=a&ticket=${ticket}`)).status).toBe(401);
    const second = await open(cluster, `topic=a&ticket=${ticket}`, { 'Last-Event-ID': first.lastId }, 1);
    expect(await second.take(1)).toEqual([2]);
    second.close();
    await publish(cluster, 3);
    const third = await open(cluster, `topic=a&ticket=${ticket}`, { 'Last-Event-ID': second.lastId });
    expect(await third.take(1)).toEqual([3]);
  });

  it('has ids of at most 2 KB, with the longest token and the most topics', async () => {
    await using cluster = await startCluster({ env });
    const topics = Array.from({ length: maxStreamTopics }, (_, index) => `a${index}`);
    const token = await tokenOf('x'.repeat(128), { jti: 'x'.repeat(512), grants: { subscribe: topics } });
    const query = topics.map((topic) => `topic=${topic}`).join('&');
    const stream = await open(cluster, `${query}&ticket=${await ticketFor(cluster, token)}`);
    const { id } = await stream.next('ready');
    // The digits by which offsets can grow.
    const growth = topics.length * (String(Number.MAX_SAFE_INTEGER).length - 1);
    expect(id.length + growth).toBeLessThanOrEqual(2_048);
    const longer = await tokenOf('x'.repeat(129));
    expect((await post(cluster, 'tickets', longer)).status).toBe(401);
    const longerId = await tokenOf('x', { jti: 'x'.repeat(513) });
    expect((await post(cluster, 'tickets', longerId)).status).toBe(401);
  });

  it('cannot be continued with a changed id, for other topics, or with the id in the URL', async () => {
    await using cluster = await startCluster({ env });
    const ticket = await ticketFor(cluster, await tokenOf('anna'));
    const stream = await open(cluster, `topic=a&ticket=${ticket}`);
    const { id } = await stream.next('ready');
    const [position = '', credential = ''] = id.split('~');
    const bytes = Buffer.from(credential, 'base64url');
    for (let at = 0; at < bytes.length; at += 7) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 1;
      const lastId = `${position}~${changed.toString('base64url')}`;
      expect((await open(cluster, 'topic=a', { 'Last-Event-ID': lastId })).status).toBe(401);
    }
    for (const lastId of [`${position}~`, `${position}~AQ`, `${id}AAAA`, `${id}~${credential}`]) {
      expect((await open(cluster, 'topic=a', { 'Last-Event-ID': lastId })).status).toBe(401);
    }
    expect((await open(cluster, 'topic=b', { 'Last-Event-ID': id })).status).toBe(401);
    expect((await open(cluster, `topic=a&since=${id}`)).status).toBe(401);
    await (await open(cluster, 'topic=a', { 'Last-Event-ID': id })).next('ready');
  });

  it('ends when its token expires, and never becomes anonymous', async () => {
    await using cluster = await startCluster({ env });
    const ticket = await ticketFor(cluster, await tokenOf('anna', { seconds: 3 }));
    const stream = await open(cluster, `topic=a&ticket=${ticket}`);
    await stream.next('ready');
    const { id } = await stream.next('tokenExpired');
    expect(await within('the stream ends', stream.ended)).toEqual({ isClean: true });
    const back = await open(cluster, `topic=a&ticket=${ticket}`, { 'Last-Event-ID': id });
    expect(await problemOf(back)).toMatchObject({ status: 401, code: 'tokenExpired' });
  });

  it.each([
    ['its subject', { subject: 'anna' }],
    ['its token', { tokenId: 'token-1' }],
  ])('ends when %s is revoked, and its id is refused on every node', async (_what, revocation) => {
    await using cluster = await startCluster({ nodes: 2, env });
    const ticket = await ticketFor(cluster, await tokenOf('anna', { jti: 'token-1' }));
    const stream = await open(cluster, `topic=a&ticket=${ticket}`);
    const { id } = await stream.next('ready');
    await revoke(cluster, revocation);
    expect(JSON.parse((await stream.next('unsubscribed')).data)).toMatchObject({ topic: 'a', code: 'invalidToken' });
    expect(await within('the stream ends', stream.ended)).toEqual({ isClean: true });
    await until('the id is refused everywhere', async () => {
      const answers = [0, 1].map((node) => open(cluster, 'topic=a', { 'Last-Event-ID': id }, node));
      return (await Promise.all(answers)).every(({ status }) => status === 401);
    });
  });

  it('keeps the name of its connection, so that revoking the connection ends it for good', async () => {
    const asked: { connection: string; event: string }[] = [];
    await using backend = createServer(async (request, response) => {
      const pieces: Buffer[] = [];
      for await (const piece of request) pieces.push(piece as Buffer);
      asked.push(JSON.parse(Buffer.concat(pieces).toString()));
      response.end('{"allow":true}');
    });
    await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(backend.address() as AddressInfo).port}/`;
    const hook = { url, events: ['connect', 'subscribe'] };
    await using cluster = await startCluster({ nodes: 2, env: { FANFARE_AUTH: JSON.stringify({ ...auth, hook }) } });
    const ticket = await ticketFor(cluster, await tokenOf('anna'));
    const first = await open(cluster, `topic=a&ticket=${ticket}`);
    const { id } = await first.next('ready');
    first.close();
    const second = await open(cluster, 'topic=a', { 'Last-Event-ID': id }, 1);
    await second.next('ready');
    const names = new Set(asked.map(({ connection }) => connection));
    expect(asked.map(({ event }) => event)).toEqual(expect.arrayContaining(['connect', 'subscribe']));
    expect(names.size).toBe(1);
    await revoke(cluster, { connection: [...names][0] });
    await second.next('unsubscribed');
    await until('the id is refused', async () => {
      return (await open(cluster, 'topic=a', { 'Last-Event-ID': id }, 1)).status === 401;
    });
  });

  it('of an API key resumes as well', async () => {
    await using cluster = await startCluster({ env });
    const ticket = await ticketFor(cluster, adminKey);
    const first = await open(cluster, `topic=a&topic=x.y&ticket=${ticket}`);
    const { id } = await first.next('ready');
    const second = await open(cluster, 'topic=a&topic=x.y', { 'Last-Event-ID': id });
    expect((await second.next('ready')).id).toBe(id);
  });

  it('resumes after Redis has lost its state, because the nodes restore the key', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    const ticket = await ticketFor(cluster, await tokenOf('anna'));
    const first = await open(cluster, `topic=a&ticket=${ticket}`);
    const { id } = await first.next('ready');
    const redis = new Redis(cluster.redisUrl);
    const key = await redis.get('fanfare:streamKey');
    expect(key).toHaveLength(44);
    await redis.flushall();
    await until('a node has restored the key', async () => {
      const back = await open(cluster, 'topic=a', { 'Last-Event-ID': id });
      return back.status === 200 && (await redis.get('fanfare:streamKey')) === key;
    });
    redis.disconnect();
  });
});

it('asks the hook about no more topics when the client is gone', async () => {
  const asked: string[] = [];
  const gone = new AbortController();
  let leave: (() => Promise<void>) | null = null;
  await using backend = createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    asked.push((JSON.parse(Buffer.concat(pieces).toString()) as { topic: string }).topic);
    await leave?.();
    response.end('{"allow":true}');
  });
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
  const hook = { url: `http://127.0.0.1:${(backend.address() as AddressInfo).port}/`, events: ['subscribe'] };
  await using cluster = await startCluster({ env: { FANFARE_AUTH: JSON.stringify({ ...auth, hook }) } });
  const node = cluster.node();
  leave = async () => {
    leave = null;
    gone.abort();
    await until('the node has noticed', async () => (await node.metric('fanfare_event_streams')) === 0);
  };
  const headers = { Authorization: `Bearer ${await tokenOf('anna')}` };
  const url = `http://127.0.0.1:${node.broker.port}/v1/events?topic=a&topic=b`;
  await expect(fetch(url, { headers, signal: gone.signal })).rejects.toThrow();
  await (await open(cluster, 'topic=b&topic=a', headers)).next('ready');
  expect(asked).toEqual(['a', 'b', 'a']);
  expect(await node.metric('fanfare_commands_not_permitted_total')).toBe(0);
});

describe('a subject', () => {
  it('has one limit of connections for streams and WebSockets, and gets room again', async () => {
    await using cluster = await startCluster({ env: { ...env, FANFARE_MAX_CONNECTIONS_PER_SUBJECT: '2' } });
    const bearer = { Authorization: `Bearer ${await tokenOf('anna')}` };
    const [first, second] = [await open(cluster, 'topic=a', bearer), await open(cluster, 'topic=a', bearer)];
    await first.next('ready');
    await second.next('ready');
    const third = await open(cluster, 'topic=a', bearer);
    expect(third.status).toBe(200);
    expect(JSON.parse((await third.next('unavailable')).data)).toMatchObject({ code: 'rateLimited' });
    second.close();
    await until('there is room', async () => {
      const again = await open(cluster, 'topic=a', bearer);
      const [event] = [await again.inbox.take('an event', () => true)];
      return event.name === 'ready';
    });
  });

  it('gets what its hook denies as a problem', async () => {
    await using backend = createServer((request, response) => {
      request.resume();
      response.end('{"allow":false,"reason":"No."}');
    });
    await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
    const hook = { url: `http://127.0.0.1:${(backend.address() as AddressInfo).port}/`, events: ['subscribe'] };
    await using cluster = await startCluster({ env: { FANFARE_AUTH: JSON.stringify({ ...auth, hook }) } });
    const stream = await open(cluster, 'topic=a', { Authorization: `Bearer ${await tokenOf('anna')}` });
    expect(await problemOf(stream)).toMatchObject({ status: 403, code: 'notPermitted', detail: 'No.' });
  });
});
