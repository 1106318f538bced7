/** `GET /v1/topics/{topic}` and `GET /v1/topics` of real nodes. */
import { SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { createApiKey } from '../src/auth/api-keys.js';
import { startCluster, type TestCluster } from './harness.js';
import { TestConnection } from './test-connection.js';
import { until } from './wait.js';

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

async function get(cluster: TestCluster, index: number, path: string, token?: string): Promise<Answer> {
  const url = cluster.node(index).url.replace('ws:', 'http:').replace('/ws', path);
  const response = await fetch(url, token === undefined ? {} : { headers: { Authorization: `Bearer ${token}` } });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

describe('two nodes', () => {
  it('count the subscribers of both, and say at which position a topic is', async () => {
    await using cluster = await startCluster({ nodes: 2, env: { FANFARE_TOPICS: '{"fast":{"level":"fast"}}' } });
    const connections = await Promise.all(
      [0, 0, 1].map((index) => TestConnection.open(cluster.node(index).url, 'json')),
    );
    const [first] = connections as [TestConnection];
    for (const connection of connections) {
      for (const topic of ['news', 'fast']) await connection.subscribe(topic);
    }
    const nodes = { asked: 2, answered: 2 };
    await until('the nodes know each other', async () => {
      const { body } = await get(cluster, 0, '/v1/topics/news');
      return JSON.stringify(body['nodes']) === JSON.stringify(nodes);
    });
    await first.publish('news', 1);
    const news = { topic: 'news', level: 'recoverable', epoch: expect.stringMatching(/^\d{16}$/), offset: 1 };
    for (const index of [0, 1]) {
      expect(await get(cluster, index, '/v1/topics/news')).toEqual({
        status: 200,
        body: { ...news, subscribers: 3, nodes },
      });
      expect(await get(cluster, index, '/v1/topics/fast')).toEqual({
        status: 200,
        body: { topic: 'fast', level: 'fast', subscribers: 3, nodes },
      });
      expect(await get(cluster, index, '/v1/topics/unknown')).toEqual({
        status: 200,
        body: { topic: 'unknown', level: 'recoverable', epoch: null, offset: null, subscribers: 0, nodes },
      });
    }
    await first.close();
    await until('it is no longer counted', async () => {
      return (await get(cluster, 1, '/v1/topics/news')).body['subscribers'] === 2;
    });
    await Promise.all(connections.slice(1).map((connection) => connection.close()));
  });

  it('refuse what is not a topic, a prefix or a parameter, and say what is wrong', async () => {
    await using cluster = await startCluster();
    const wrong = [
      ['/v1/topics/a..b', 'invalidTopic'],
      ['/v1/topics/%2A', 'invalidTopic'],
      ['/v1/topics/a?details=1', 'malformed'],
      ['/v1/topics?prefix=%2A', 'malformed'],
      ['/v1/topics?limit=0', 'malformed'],
      ['/v1/topics?limit=1001', 'malformed'],
      ['/v1/topics?cursor=', 'malformed'],
      ['/v1/topics?cursor=..', 'malformed'],
      ['/v1/topics?page=2', 'malformed'],
    ] as const;
    for (const [path, code] of wrong) {
      expect([path, await get(cluster, 0, path)]).toEqual([
        path,
        { status: 400, body: expect.objectContaining({ code, detail: expect.stringMatching(/\.$/) }) },
      ]);
    }
  });
});

it('the list is for services, the information for those who may read the history', async () => {
  const { key, entry } = createApiKey('ops');
  const secret = 'a secret that is known to this test only';
  const env = {
    FANFARE_AUTH: JSON.stringify({
      issuers: [{ issuer: 'id', keys: [{ algorithm: 'HS256', secret }] }],
      apiKeys: [{ ...entry, permissions: { publish: ['>'] } }],
    }),
  };
  await using cluster = await startCluster({ env });
  const user = await new SignJWT({ fanfare: { subscribe: ['chat.>'] } })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer('id')
    .setSubject('ada')
    .setExpirationTime('1h')
    .sign(Buffer.from(secret));
  const writer = await TestConnection.open(cluster.node().url, 'json', { headers: { Authorization: `Bearer ${key}` } });
  for (const topic of ['chat.a', 'chat.b', 'news']) await writer.publish(topic, 1);
  await writer.close();
  const statusOf = async (path: string, token?: string): Promise<unknown> => {
    const { status, body } = await get(cluster, 0, path, token);
    return status === 200 ? body : [status, body['code']];
  };
  expect(await statusOf('/v1/topics')).toEqual([401, 'unauthenticated']);
  expect(await statusOf('/v1/topics', user)).toEqual([403, 'notPermitted']);
  const { topics, next } = (await statusOf('/v1/topics?prefix=chat.', key)) as { topics: string[]; next: unknown };
  expect([topics.toSorted(), next]).toEqual([['chat.a', 'chat.b'], null]);
  expect(await statusOf('/v1/topics/chat.a')).toEqual([401, 'unauthenticated']);
  expect(await statusOf('/v1/topics/chat.a', user)).toMatchObject({ offset: 1 });
  expect(await statusOf('/v1/topics/news', user)).toEqual([403, 'notPermitted']);
  // The key may publish only.
  expect(await statusOf('/v1/topics/news', key)).toEqual([403, 'notPermitted']);
});
