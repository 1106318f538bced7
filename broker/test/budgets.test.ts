/**
 * Limits on what a subject sends and stores in histories, at all nodes together, for any distribution of its
 * connections.
 */
import { createHash } from 'node:crypto';
import type { Encoding, Reply } from '@fanfare/protocol';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { env, tokenOf } from '../../test/tokens.js';
import { reserveShare } from '../src/limits/shared-bucket.js';
import { startCluster, type TestCluster } from './harness.js';
import type { TestConnection } from './test-connection.js';
import { until } from './wait.js';

const everything = { publish: ['>'], subscribe: ['>'] };

async function connectAs(
  cluster: TestCluster,
  node = 0,
  { subject = 'ada', encoding = 'msgpack' }: { readonly subject?: string; readonly encoding?: Encoding } = {},
): Promise<TestConnection> {
  const connection = await cluster.connect(node, encoding);
  const reply = await connection.request({ type: 'connect', token: tokenOf(subject, everything, 600) });
  expect(reply.type).toBe('connected');
  return connection;
}

const isPublished = ({ type }: Reply): boolean => type === 'published';

/** Sends this number of publications in one frame; resolves with the number that was accepted. */
async function burst(connection: TestConnection, count: number): Promise<number> {
  const data = Array.from({ length: count }, (_, number) => number);
  connection.send(
    ...data.map(
      (number) => ({ type: 'publish', id: number + 10_000, topic: 't', data: number, messageId: null }) as const,
    ),
  );
  const outcomes = await Promise.all(
    data.map(() => connection.inbox.take('an outcome', ({ type }) => type === 'published' || type === 'error')),
  );
  return outcomes.filter(({ type }) => type === 'published').length;
}

// Concurrent: one of them waits until a budget is full again.
describe.concurrent('a subject with a connection to each of several nodes', () => {
  it('publishes no more than its rate, one burst, and a reserve for each node, with bursts after idle times', async () => {
    const [nodes, rate, atOnce] = [4, 50, 100];
    await using cluster = await startCluster({ nodes, env });
    const direct = new Redis(cluster.redisUrl);
    const isFull = async (): Promise<boolean> => {
      const [left, at] = (await direct.hmget('fanfare:budget:publications:test\nada', 'left', 'at')).map(Number);
      return (left ?? 0) + (Date.now() - (at ?? 0)) * (rate / 1_000) >= atOnce;
    };
    const startedAt = performance.now();
    const connections = await Promise.all(Array.from({ length: nodes }, (_, node) => connectAs(cluster, node)));
    let [published, seconds] = [0, 0];
    for (let round = 0; round < 2; round++) {
      if (round > 0) await until('the subject may send a burst again', isFull);
      const accepted = await Promise.all(connections.map((connection) => burst(connection, 150)));
      published += accepted.reduce((sum, count) => sum + count);
      seconds = (performance.now() - startedAt) / 1_000;
    }
    expect(published).toBeGreaterThanOrEqual(2 * atOnce);
    expect(published).toBeLessThanOrEqual(rate * seconds + atOnce + nodes * atOnce * reserveShare);
    direct.disconnect();
  });

  it.each(['msgpack', 'json'] as const)(
    'sends a whole burst to one of them, in %s, and all of it arrives in order',
    async (encoding) => {
      await using cluster = await startCluster({ nodes: 2, env });
      const subscriber = await cluster.connect(1, encoding);
      await subscriber.request({ type: 'connect', token: tokenOf('bob', everything, 600) });
      await subscriber.subscribe('t');
      const connection = await connectAs(cluster, 0, { encoding });
      expect(await burst(connection, 100)).toBe(100);
      expect(await subscriber.take('t', 100)).toEqual(Array.from({ length: 100 }, (_, number) => number));
    },
  );

  it('can send other commands behind publications that wait for the other nodes, and all get replies', async () => {
    // 30 at once: a node asks the others after every three.
    await using cluster = await startCluster({
      nodes: 2,
      env: { ...env, FANFARE_COMMAND_RATE: '5', FANFARE_MAX_SUBSCRIPTIONS: '20' },
    });
    const connection = await connectAs(cluster, 0);
    const subscribed = Array.from({ length: 20 }, (_, number) => connection.subscribe(`t.${number}`));
    const published = connection.publish('t.0', 1);
    const pong = connection.request({ type: 'ping' });
    expect((await Promise.all(subscribed)).map(({ type }) => type)).toEqual(subscribed.map(() => 'subscribed'));
    expect((await published).type).toBe('published');
    expect((await pong).type).toBe('pong');
    expect(await connection.take('t.0', 1)).toEqual([1]);
  });

  it('gets no more tickets than its rate of commands allows', async () => {
    await using cluster = await startCluster({
      nodes: 2,
      env: { ...env, FANFARE_COMMAND_RATE: '1', FANFARE_MAX_SUBSCRIPTIONS: '8' },
    });
    const ticket = async (): Promise<number> => {
      const url = `http://127.0.0.1:${cluster.node().broker.port}/v1/tickets`;
      const headers = { Authorization: `Bearer ${tokenOf('ada', everything, 600)}` };
      return (await fetch(url, { method: 'POST', headers })).status;
    };
    const statuses = await Promise.all(Array.from({ length: 30 }, ticket));
    expect(statuses.filter((status) => status === 201).length).toBeGreaterThanOrEqual(10);
    expect(statuses).toContain(429);
  });

  it('has a limit on each node separately while Redis is unavailable', async () => {
    await using cluster = await startCluster({
      nodes: 2,
      env: { ...env, FANFARE_COMMAND_RATE: '20', FANFARE_MAX_SUBSCRIPTIONS: '10' },
    });
    const connections = await Promise.all([connectAs(cluster, 0), connectAs(cluster, 1)]);
    await cluster.redis.stop();
    for (const connection of connections) {
      const pongs = Array.from({ length: 50 }, () => connection.request({ type: 'ping' }));
      expect((await Promise.all(pongs)).map(({ type }) => type)).toEqual(pongs.map(() => 'pong'));
    }
  });
});

describe('a subject that reads long histories', () => {
  /** Third element: the data of each of four publications. Last element: the price of one answer in commands. */
  it.each([
    ['history', 'msgpack', 'x'.repeat(60_000), 4],
    ['subscribe', 'msgpack', 'x'.repeat(60_000), 4],
    // As JSON it is six times as long.
    ['history', 'json', '\u0001'.repeat(10_000), 4],
    ['subscribe', 'json', '\u0001'.repeat(10_000), 4],
    ['subscribe', 'json', 'x'.repeat(10_000), 1],
  ] as const)('pays one more command for each 64 KiB: %s, %s', async (type, encoding, data, price) => {
    const atOnce = 32;
    const limits = { FANFARE_COMMAND_RATE: '1', FANFARE_MAX_SUBSCRIPTIONS: String(atOnce - 2) };
    await using cluster = await startCluster({ env: { ...env, ...limits } });
    const writer = await connectAs(cluster, 0, { subject: 'bob' });
    let epoch = '';
    for (let number = 0; number < 4; number++) {
      const reply = await writer.publish('t', data);
      if (reply.type === 'published') epoch = reply.position?.epoch ?? '';
    }
    expect(epoch).not.toBe('');
    const startedAt = performance.now();
    const connection = await connectAs(cluster, 0, { encoding });
    let [answered, commands] = [0, 0];
    const refused = await until('the read is refused', async () => {
      const reply =
        type === 'history'
          ? await connection.request({ type, topic: 't', since: null, limit: 4, direction: 'forward' })
          : await connection.request({ type, topic: 't', since: { epoch, offset: 0 } });
      if (reply.type === 'error') return reply;
      expect(reply).toMatchObject({ type: type === 'history' ? type : 'subscribed', publications: { length: 4 } });
      answered++;
      commands++;
      if (type === 'history') return null;
      const left = await connection.unsubscribe('t');
      if (left.type === 'error') return left;
      commands++;
      return null;
    });
    expect(refused).toMatchObject({ code: 'rateLimited' });
    const seconds = (performance.now() - startedAt) / 1_000;
    const paid = commands + (answered - 1) * (price - 1);
    expect(paid).toBeLessThanOrEqual(atOnce + seconds);
    // It pays no more than that.
    expect(commands + answered * (price - 1)).toBeGreaterThan(atOnce - 2);
  });
});

describe.each([
  ['one node, in memory', 1],
  ['two nodes', 2],
])('a subject that publishes to topics with history at %s', (_, nodes) => {
  const topics = '{"fast.>":{"level":"fast"}}';
  const key = 'fk_orders_a-key-that-only-this-test-knows-of-0001';
  const auth = {
    ...JSON.parse(env.FANFARE_AUTH),
    apiKeys: [
      { id: 'orders', sha256: createHash('sha256').update(key).digest('hex'), permissions: { publish: ['>'] } },
    ],
  };
  const start = (limits: Readonly<Record<string, string>>) =>
    startCluster({ nodes, env: { FANFARE_AUTH: JSON.stringify(auth), FANFARE_TOPICS: topics, ...limits } });

  async function connectService(cluster: TestCluster): Promise<TestConnection> {
    const service = await cluster.connect();
    await service.request({ type: 'connect', token: key });
    return service;
  }

  /** Nodes that share a Redis report spending to it with a short delay. */
  async function untilReported(cluster: TestCluster, budget: string, most: number): Promise<void> {
    if (nodes === 1) return;
    const direct = new Redis(cluster.redisUrl);
    await until('the other nodes can know', async () => {
      const left = await direct.hget(`fanfare:budget:${budget}:test\nada`, 'left');
      return left !== null && Number(left) < most + 1;
    });
    direct.disconnect();
  }

  it('begins no more topics in an hour than its limit', async () => {
    await using cluster = await start({ FANFARE_NEW_TOPICS_PER_HOUR: '10' });
    const here = await connectAs(cluster);
    for (let number = 0; number < 6; number++) expect(await here.publish(`here.${number}`, 1)).toSatisfy(isPublished);
    await untilReported(cluster, 'newTopics', 4);
    const there = await connectAs(cluster, nodes - 1);
    let begun = 0;
    const refused = await until('the publication is refused', async () => {
      const reply = await there.publish(`there.${begun}`, 1);
      if (!isPublished(reply)) return reply;
      begun++;
      return null;
    });
    expect(begun).toBe(4);
    expect(refused).toMatchObject({
      code: 'rateLimited',
      retryable: true,
      message: expect.stringMatching(/^Hourly limit of new topics exceeded, .* Retry in \d+ ms\.$/),
    });
    // Existing topics, topics without history, and topics of other subjects still work.
    expect(await there.publish('there.0', 2)).toSatisfy(isPublished);
    expect(await there.publish('fast.new', 1)).toSatisfy(isPublished);
    const other = await connectAs(cluster, nodes - 1, { subject: 'bob' });
    expect(await other.publish('others', 1)).toSatisfy(isPublished);
    expect(await there.publish('others', 2)).toSatisfy(isPublished);
    expect(await there.publish('new', 1)).toMatchObject({ code: 'rateLimited' });
    const service = await connectService(cluster);
    for (let number = 0; number < 20; number++) expect(await service.publish(`s.${number}`, 1)).toSatisfy(isPublished);
  });

  it('publishes no more bytes in an hour than its limit', async () => {
    await using cluster = await start({ FANFARE_HISTORY_BYTES_PER_HOUR: '90000' });
    const data = 'x'.repeat(20_000);
    const connection = await connectAs(cluster);
    let kept = 0;
    const refused = await until('the publication is refused', async () => {
      const reply = await connection.publish('t', data);
      if (!isPublished(reply)) return reply;
      kept++;
      return null;
    });
    expect(kept).toBe(4);
    expect(refused).toMatchObject({
      code: 'rateLimited',
      message: expect.stringMatching(/^The hourly byte limit for topics with history is exceeded\. Retry in \d+ ms\.$/),
    });
    await untilReported(cluster, 'historyBytes', 20_000);
    const again = await connectAs(cluster, nodes - 1);
    expect(await again.publish('t', data)).toMatchObject({ code: 'rateLimited' });
    expect(await again.publish('fast.t', data)).toSatisfy(isPublished);
    const other = await connectAs(cluster, 0, { subject: 'bob' });
    expect(await other.publish('t', data)).toSatisfy(isPublished);
    const service = await connectService(cluster);
    for (let sent = 0; sent < 10; sent++) expect(await service.publish('t', data)).toSatisfy(isPublished);
  });
});
