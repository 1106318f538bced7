/** The typed client gives the same guarantees over each transport. Real nodes, and a real Redis. */
import type { Publication, Subscription } from '@fanfare/client';
import { type ClientOptions, createClient, type FallbackClient, type Transport } from '@fanfare/client/fallback';
import { startNode as startProcess, startRedis } from '@fanfare/local-cluster';
import { describe, expect, it, vi } from 'vitest';
import { fastTopics, shortTimes, startCluster, startNode } from '../../broker/test/harness.js';
import { allTransports } from '../../client/src/fallback/transports.js';
import { env, tokenOf } from '../tokens.js';
import { Entry } from './entry.js';

const quick = { reconnectBaseDelayMs: 5, reconnectMaxDelayMs: 50 } as const;

type Client = FallbackClient<Record<string, unknown>>;

function connect(url: string, transport: Transport, options: ClientOptions = {}): Client {
  return createClient(url, { transports: [transport], ...quick, ...options }) as unknown as Client;
}

/** Everything that a subscription emits from now on, in order: data, and the names of events. */
function record(subscription: Subscription, into: unknown[] = []): unknown[] {
  subscription.on('gap', ({ reason }) => into.push(`gap ${reason}`));
  subscription.on('reset', () => into.push('reset'));
  return into;
}

/** Subscribes, and records everything. */
async function follow(client: Client, topic: string, options = {}): Promise<unknown[]> {
  const seen: unknown[] = [];
  const subscription = client.subscribe(topic, options, ({ data }: Publication) => seen.push(data));
  record(subscription, seen);
  await subscription.ready;
  return seen;
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, at) => from + at);

async function publishAll(client: Client, topic: string, values: readonly unknown[]): Promise<void> {
  // The queue of a client has room for a thousand while they wait.
  for (let at = 0; at < values.length; at += 500) {
    await Promise.all(values.slice(at, at + 500).map((value) => client.publish(topic, value)));
  }
}

describe.each(allTransports)('over %s', (transport) => {
  it('publications arrive once, in the order in which they were published', async () => {
    await using node = await startNode({});
    await using client = connect(node.url, transport);
    const seen = await follow(client, 'news');
    expect(client.transport).toBe(transport);
    await publishAll(client, 'news', numbers(1, 300));
    for (const value of numbers(301, 320)) client.send('news', value);
    await expect.poll(() => seen.length).toBeGreaterThanOrEqual(320);
    expect(seen).toEqual(numbers(1, 320));
  });

  it('a publication is parsed once for each time that it arrives, and once more to become a request', async () => {
    await using redis = await startRedis();
    const node = await startProcess({ redisUrl: redis.url });
    try {
      await using client = connect(node.url, transport);
      const seen = await follow(client, 'news');
      using parse = vi.spyOn(JSON, 'parse');
      await client.publish('news', 'publication 1');
      await expect.poll(() => seen).toEqual(['publication 1']);
      const parsed = parse.mock.calls.filter(([text]) => text.includes('publication 1'));
      expect(parsed).toHaveLength(transport === 'webSocket' ? 1 : 2);
    } finally {
      await node.kill();
    }
  });

  it('values arrive as they were published', async () => {
    await using node = await startNode({});
    await using client = connect(node.url, transport);
    const seen = await follow(client, 'news');
    const values = [null, 0, -1.5, '', 'ä€😀\n\r\u2028', [], {}, { data: 1, topic: 'x', error: 'y', id: 'z' }, [[[1]]]];
    await publishAll(client, 'news', values);
    await expect.poll(() => seen.length).toBe(values.length);
    expect(seen).toEqual(values);
  });

  it('a publication of the largest size arrives, and a larger one is refused', async () => {
    await using node = await startNode({});
    await using client = connect(node.url, transport);
    const seen = await follow(client, 'news');
    await expect(client.publish('news', 'x'.repeat(70_000))).rejects.toMatchObject({ code: 'frameTooLarge' });
    const value = 'ü'.repeat(32_600);
    await client.publish('news', value);
    await expect.poll(() => seen).toEqual([value]);
  });

  it('subscriptions begin with history, and history can be read', async () => {
    await using node = await startNode({});
    await using client = connect(node.url, transport);
    await publishAll(client, 'news', numbers(1, 10));
    expect(await follow(client, 'news', { last: 3 })).toEqual([8, 9, 10]);
    const { publications } = await client.history('news', { limit: 4 });
    expect(publications.map(({ data }) => data)).toEqual([1, 2, 3, 4]);
    const { position } = publications[2] as Publication;
    const since = await follow(client, 'news', { since: position });
    expect(since).toEqual(numbers(4, 10));
    await client.publish('news', 11);
    await expect.poll(() => since).toEqual(numbers(4, 11));
    await expect(client.history('news', { limit: 0 })).rejects.toMatchObject({ code: 'invalidOption' });
  });

  it('many topics arrive, also some that are subscribed to later', async () => {
    await using node = await startNode({});
    await using client = connect(node.url, transport);
    const topics = numbers(1, 70).map((number) => `${'long.'.repeat(3)}topic.${number}`);
    const seen: unknown[] = [];
    const begun = topics.map((topic) => client.subscribe(topic, ({ data }) => seen.push(data)).ready);
    await Promise.all(begun);
    await Promise.all(topics.map((topic) => client.publish(topic, topic)));
    await expect.poll(() => seen.length).toBeGreaterThanOrEqual(topics.length);
    expect(seen.toSorted()).toEqual(topics.toSorted());
    const late = await follow(client, 'late');
    await client.publish('late', 1);
    await expect.poll(() => late).toEqual([1]);
  });

  it('nothing is lost while a topic joins and leaves, again and again', async () => {
    await using node = await startNode({});
    await using client = connect(node.url, transport);
    await using writer = connect(node.url, 'webSocket');
    const seen = await follow(client, 'news');
    const published: Promise<unknown>[] = [];
    for (const value of numbers(1, 60)) {
      published.push(writer.publish('news', value));
      const other = client.subscribe(`other.${value}`);
      await (value % 3 === 0 ? other.ready : published.at(-1));
      other.unsubscribe();
    }
    await Promise.all(published);
    await expect.poll(() => seen.length).toBeGreaterThanOrEqual(60);
    expect(seen).toEqual(numbers(1, 60));
  });

  it('after unsubscribe() nothing arrives, and the node has no subscription left', async () => {
    await using node = await startNode({});
    await using client = connect(node.url, transport);
    const seen: unknown[] = [];
    const subscription = client.subscribe('news', ({ data }) => seen.push(data));
    const kept = await follow(client, 'kept');
    await subscription.ready;
    subscription.unsubscribe();
    await client.publish('news', 1);
    await client.publish('kept', 2);
    await expect.poll(() => kept).toEqual([2]);
    expect(seen).toEqual([]);
    await client.close();
    await expect.poll(() => node.metric('fanfare_connections')).toBe(0);
    await expect.poll(() => node.metric('fanfare_subscriptions')).toBe(0);
  });

  it('a node is killed and starts again: the client has received everything once', async () => {
    await using redis = await startRedis();
    await using other = await startProcess({ redisUrl: redis.url });
    let node = await startProcess({ redisUrl: redis.url });
    try {
      await using client = connect(node.url, transport);
      await using writer = connect(other.url, 'webSocket');
      const seen = await follow(client, 'news');
      const own = [client.publish('news', 1)];
      await own[0];
      await node.kill();
      await expect.poll(() => client.state.name).toBe('connecting');
      await publishAll(writer, 'news', numbers(2, 20));
      own.push(client.publish('own', 1, { timeoutMs: 60_000 }));
      node = await startProcess({ redisUrl: redis.url, port: node.port });
      await Promise.all(own);
      await expect.poll(() => seen.length).toBeGreaterThanOrEqual(20);
      await writer.publish('news', 21);
      await expect.poll(() => seen.length).toBeGreaterThanOrEqual(21);
      expect(seen).toEqual(numbers(1, 21));
    } finally {
      await node.kill();
    }
  });

  it('a client that has missed more than one answer holds gets all of it', async () => {
    await using cluster = await startCluster({
      nodes: 2,
      env: { FANFARE_TOPICS: '{">":{"level":"recoverable","historySize":5000}}' },
    });
    await using entry = await Entry.start(cluster.node(0).url);
    await using client = connect(entry.url, transport);
    await using writer = connect(cluster.node(1).url, 'webSocket');
    const seen = await follow(client, 'news');
    for (const [from, to] of [
      [1, 10],
      [11, 1_700],
    ] as const) {
      entry.close();
      await publishAll(writer, 'news', numbers(from, to));
      entry.open(cluster.node(1).url);
      await expect.poll(() => seen.length).toBeGreaterThanOrEqual(to);
    }
    expect(seen).toEqual(numbers(1, 1_700));
  });

  it('a client that has missed more than the history keeps gets a gap', async () => {
    await using cluster = await startCluster({
      nodes: 2,
      env: { FANFARE_TOPICS: '{">":{"level":"recoverable","historySize":5}}' },
    });
    await using entry = await Entry.start(cluster.node(0).url);
    await using client = connect(entry.url, transport);
    await using writer = connect(cluster.node(1).url, 'webSocket');
    const seen = await follow(client, 'news');
    await writer.publish('news', 1);
    await expect.poll(() => seen).toEqual([1]);
    entry.close();
    await expect.poll(() => client.state.name).toBe('connecting');
    await publishAll(writer, 'news', numbers(2, 900));
    entry.open(cluster.node(1).url);
    await expect.poll(() => seen.at(-1)).toBe(900);
    const [first, gap, ...rest] = seen;
    expect(first).toBe(1);
    expect(gap).toMatch(/^gap (history|node)$/);
    expect(rest).toEqual(numbers(901 - rest.length, 900));
  });

  it('a broker that has lost its history causes a reset', async () => {
    await using node = await startNode({});
    await using empty = await startNode({});
    await using entry = await Entry.start(node.url);
    await using client = connect(entry.url, transport);
    const seen = await follow(client, 'news');
    await client.publish('news', 1);
    await expect.poll(() => seen).toEqual([1]);
    entry.close();
    entry.open(empty.url);
    await expect.poll(() => seen).toEqual([1, 'reset']);
    await client.publish('news', 2);
    await expect.poll(() => seen).toEqual([1, 'reset', 2]);
  });

  it('topics without history arrive, and a reconnect causes a gap', async () => {
    await using node = await startNode(fastTopics);
    await using entry = await Entry.start(node.url);
    await using client = connect(entry.url, transport);
    await using writer = connect(node.url, 'webSocket');
    const seen = await follow(client, 'news');
    // Between two polls there may be a gap. The next poll has begun when publications arrive.
    let sent = 0;
    await expect
      .poll(async () => {
        await writer.publish('news', ++sent);
        return seen.filter((each) => typeof each === 'number').length;
      })
      .toBeGreaterThan(2);
    const heard = seen.filter((each): each is number => typeof each === 'number');
    expect(heard).toEqual([...new Set(heard)].toSorted((one, other) => one - other));
    if (transport !== 'longPolling') expect(seen).not.toContain('gap node');
    const before = seen.length;
    entry.close();
    entry.open(node.url);
    await expect.poll(() => seen.slice(before)).toContainEqual(expect.stringMatching(/^gap/));
  });

  it('a token is renewed on the same connection, and nothing is missed', async () => {
    await using node = await startNode(env);
    let tokens = 0;
    const getToken = (): string => {
      tokens++;
      // It is renewed two seconds before it expires, which is enough on a busy machine too.
      return tokenOf('reader', { subscribe: ['>'], publish: ['>'] }, 10);
    };
    await using client = connect(node.url, transport, { getToken });
    const states: string[] = [];
    const seen = await follow(client, 'news');
    client.on('state', ({ name }) => states.push(name));
    for (const value of numbers(1, 2)) {
      await expect.poll(() => tokens).toBeGreaterThanOrEqual(value);
      await client.publish('news', value);
      await expect.poll(() => seen.length).toBe(value);
    }
    expect(seen).toEqual([1, 2]);
    expect(states).toEqual([]);
  });

  it.each(['let-me-in', 'let me in', 'lässt mich ein\n'])('the token %j stops the client', async (token) => {
    await using node = await startNode(env);
    await using client = connect(node.url, transport, { getToken: () => token });
    await expect(client.subscribe('news').ready).rejects.toMatchObject({
      message: expect.stringMatching(/^invalidToken: The token (is not a signed JWT|.*header)/),
    });
    expect(client.state).toMatchObject({ name: 'disconnected', code: 'unauthenticated', closeCode: 4502 });
  });

  it('the refusal of one topic does not affect the others', async () => {
    await using node = await startNode(env);
    const getToken = (): string => tokenOf('reader', { subscribe: ['news.*'], publish: ['news.*'] }, 60);
    await using client = connect(node.url, transport, { getToken });
    const allowed = ['news.a', 'news.b', 'news.c'].map((topic) => follow(client, topic));
    const refused = ['orders', 'secrets'].map((topic) => client.subscribe(topic).ready);
    for (const ready of refused) await expect(ready).rejects.toMatchObject({ code: 'notPermitted' });
    const seen = await Promise.all(allowed);
    await expect(client.publish('orders', 1)).rejects.toMatchObject({ code: 'notPermitted' });
    await Promise.all(['a', 'b', 'c'].map((name) => client.publish(`news.${name}`, name)));
    await expect.poll(() => seen).toEqual([['a'], ['b'], ['c']]);
  });

  it('drain() waits until everything has reached the node', async () => {
    await using node = await startNode({});
    const client = connect(node.url, transport);
    await using reader = connect(node.url, 'webSocket');
    const seen = await follow(reader, 'news');
    for (const value of numbers(1, 200)) client.send('news', value);
    await client.drain();
    await expect.poll(() => seen.length).toBeGreaterThanOrEqual(200);
    expect(seen).toEqual(numbers(1, 200));
    expect(client.transport).toBeNull();
  });

  it('unsent publications have a limit', async () => {
    await using node = await startNode({});
    await using client = connect(node.url, transport, { maxUnsentBytes: 100_000 });
    await client.connect();
    const results = await Promise.allSettled(numbers(1, 200).map(() => client.publish('news', 'x'.repeat(1_000))));
    const refused = results.filter(({ status }) => status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThan(200);
    for (const each of refused) expect(each).toMatchObject({ reason: { code: 'queueFull', maybeDelivered: false } });
    await client.publish('news', 1);
  });

  it('a user who publishes too fast is slowed down, and loses nothing', async () => {
    const limits = { FANFARE_PUBLISH_RATE: '100' };
    await using node = await startNode({ ...env, ...limits });
    const getToken = (): string => tokenOf('writer', { subscribe: ['>'], publish: ['>'] }, 60);
    await using client = connect(node.url, transport, { getToken, timeoutMs: 60_000 });
    const seen = await follow(client, 'news');
    await publishAll(client, 'news', numbers(1, 400));
    await expect.poll(() => seen.length).toBeGreaterThanOrEqual(400);
    expect(seen).toEqual(numbers(1, 400));
  });

  it('a stopping node hands the client over to another node without loss', async () => {
    await using cluster = await startCluster({ nodes: 2, env: { FANFARE_DRAIN_WINDOW_MS: '300' }, times: shortTimes });
    await using entry = await Entry.start(cluster.node(0).url);
    await using client = connect(entry.url, transport);
    await using writer = connect(cluster.node(1).url, 'webSocket');
    const seen = await follow(client, 'news');
    let isDrained = false;
    entry.open(cluster.node(1).url);
    const draining = cluster
      .node(0)
      .broker.drain()
      .then(() => {
        isDrained = true;
      });
    let sent = 0;
    while (!isDrained) await writer.publish('news', ++sent);
    await draining;
    await writer.publish('news', ++sent);
    await expect.poll(() => seen.length).toBeGreaterThanOrEqual(sent);
    expect(seen).toEqual(numbers(1, sent));
  });
});
