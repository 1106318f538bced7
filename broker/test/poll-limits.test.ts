/** What long polls and event streams cost: clients that poll return all at once, and must not keep WebSockets out. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from './harness.js';
import { TestStream } from './test-stream.js';
import { until } from './wait.js';

const secret = 'a secret that is known to this test only';
const issuer = 'https://id.test';
const auth = { issuers: [{ issuer, keys: [{ algorithm: 'HS256', secret }] }] };

function tokenOf(subject: string): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  return new SignJWT({ fanfare: { subscribe: ['a'], history: ['a'], publish: ['a'] } })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer(issuer)
    .setSubject(subject)
    .setIssuedAt(now)
    .setExpirationTime(now + 3_600)
    .sign(Buffer.from(secret));
}

type Headers = Readonly<Record<string, string>>;

/** Long polls of both kinds, one after the other. Resolves with the statuses, each once. */
async function pollOften(cluster: TestCluster, headers: Headers = {}, count = 20): Promise<number[]> {
  const url = `http://127.0.0.1:${cluster.node().broker.port}/v1`;
  const statuses: number[] = [];
  for (let index = 0; index < count; index++) {
    const path = index % 2 === 0 ? 'topics/a/publications?wait=30&limit=1' : 'events?topic=a&wait=0';
    const answer = await fetch(`${url}/${path}`, { headers });
    await answer.arrayBuffer();
    statuses.push(answer.status);
  }
  return [...new Set(statuses)];
}

async function publishAs(cluster: TestCluster, headers: Headers = {}): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${cluster.node().broker.port}/v1/topics/a/publications`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: '1',
  });
  return answer.status;
}

/** With this setting, an address may do one handshake in a second. */
const oneHandshake = { FANFARE_HANDSHAKES_PER_SECOND: '1' };

describe('without authentication', () => {
  it('long polls cost no handshake', async () => {
    await using cluster = await startCluster({ env: oneHandshake });
    await publishAs(cluster);
    expect(await pollOften(cluster)).toEqual([200]);
    await cluster.subscriber('a');
  });

  it('event streams have a limit of their own, and WebSockets another', async () => {
    await using cluster = await startCluster({ env: oneHandshake });
    const { port } = cluster.node().broker;
    const opened = async (): Promise<number> => {
      await using stream = await TestStream.open(port, '/v1/events?topic=a', { Accept: '*/*' });
      return stream.status;
    };
    const statuses = [];
    for (let index = 0; index < 20; index++) statuses.push(await opened());
    expect(statuses[0]).toBe(200);
    expect(statuses).toContain(503);
    await cluster.subscriber('a');
  });
});

describe('a poll with a token that the node knows', () => {
  const env = { ...oneHandshake, FANFARE_TRUSTED_PROXIES: '127.0.0.1' };
  /** A client behind the proxy, because clients of this machine are not counted. */
  const from = (address: string, token: string): Headers => ({
    Authorization: `Bearer ${token}`,
    'X-Forwarded-For': address,
  });

  it('costs no handshake, and the hook is asked once about the connection', async () => {
    const asked: string[] = [];
    await using backend = createServer(async (request, response) => {
      const pieces: Buffer[] = [];
      for await (const piece of request) pieces.push(piece as Buffer);
      asked.push((JSON.parse(Buffer.concat(pieces).toString()) as { event: string }).event);
      response.end('{"allow":true}');
    });
    await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(backend.address() as AddressInfo).port}/`;
    const hook = { url, events: ['connect', 'subscribe'] };
    await using cluster = await startCluster({ env: { ...env, FANFARE_AUTH: JSON.stringify({ ...auth, hook }) } });
    const anna = from('203.0.113.5', await tokenOf('anna'));
    expect(await publishAs(cluster, anna)).toBe(200);
    expect(await pollOften(cluster, anna)).toEqual([200]);
    expect(asked.filter((event) => event === 'connect')).toHaveLength(1);
    expect(asked.filter((event) => event === 'subscribe')).toHaveLength(20);
  });

  it('is known after a poll too; another token of the same address is not', async () => {
    await using cluster = await startCluster({ env: { ...env, FANFARE_AUTH: JSON.stringify(auth) } });
    await publishAs(cluster, from('203.0.113.6', await tokenOf('publisher')));
    const anna = from('203.0.113.5', await tokenOf('anna'));
    // A node checks one token in a second.
    await until('the token is checked', async () => (await pollOften(cluster, anna, 1))[0] === 200);
    expect(await pollOften(cluster, anna)).toEqual([200]);
    const others = Array.from({ length: 20 }, async (_, index) =>
      pollOften(cluster, from('203.0.113.5', await tokenOf(`other-${index}`)), 1),
    );
    expect((await Promise.all(others)).flat()).toContain(429);
  });

  it('is limited by the rate of commands of its subject, and says when to retry', async () => {
    const limits = { FANFARE_COMMAND_RATE: '1', FANFARE_MAX_SUBSCRIPTIONS: '1' };
    await using cluster = await startCluster({ env: { ...env, ...limits, FANFARE_AUTH: JSON.stringify(auth) } });
    const anna = from('203.0.113.5', await tokenOf('anna'));
    await publishAs(cluster, anna);
    const refused = await until('a poll is refused', async () => {
      const url = `http://127.0.0.1:${cluster.node().broker.port}/v1/topics/a/publications?wait=30`;
      const answer = await fetch(url, { headers: anna });
      return answer.status === 200 ? null : answer;
    });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, expect.stringMatching(/^\d+$/)]);
    expect(await refused.json()).toMatchObject({ code: 'rateLimited', retryable: true });
  });
});
