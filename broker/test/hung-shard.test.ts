/** One of two shards hangs. Requests about topics of both are answered for the other one, and later for both. */
import { redisCommand } from '@fanfare/local-cluster';
import { afterEach, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from './harness.js';
import { TestStream } from './test-stream.js';
import { until } from './wait.js';

/** The node notices after half a second. */
const noticing = { FANFARE_REDIS_TIMEOUT_MS: '500' };
/** The node has not noticed yet: whatever waits for the hung shard waits for longer than a test. */
const unaware = { FANFARE_REDIS_TIMEOUT_MS: '60000', FANFARE_PROBE_INTERVAL_MS: '60000' };

const streams: TestStream[] = [];
afterEach(async () => {
  for (const stream of streams.splice(0)) await stream[Symbol.asyncDispose]();
});

interface Halves extends AsyncDisposable {
  readonly cluster: TestCluster;
  /** A topic of the shard that will hang, and one of the other. Both have one publication, 1. */
  readonly topics: readonly [hung: string, healthy: string];
  /** The position of each topic, as in an id. */
  readonly positions: readonly [hung: string, healthy: string];
  /** The shard hangs. With {@link noticing}, resolves when the node has noticed. */
  hang(): Promise<void>;
  resume(): Promise<void>;
}

async function startHalves(env: Readonly<Record<string, string>>): Promise<Halves> {
  const cluster = await startCluster({ redis: 'shards', env });
  const names = Array.from({ length: 16 }, (_, index) => `t${index}`);
  for (const name of names) expect((await publish(cluster, name, 1)).status).toBe(200);
  const [victim, other] = cluster.shards;
  if (victim === undefined || other === undefined) throw new Error('There are no two shards.');
  const topicAt = async (port: number): Promise<string> => {
    const keys = (await redisCommand(port, ['KEYS', '*:topic:*'])) as readonly unknown[];
    const found = names.find((name) => keys.some((key) => String(key).endsWith(`:topic:${name}`)));
    if (found === undefined) throw new Error('A shard has no topic.');
    return found;
  };
  const topics = [await topicAt(victim.port), await topicAt(other.port)] as const;
  const positionOf = async (topic: string): Promise<string> =>
    (await get(cluster, `topics/${topic}/publications?since=now`)).headers.get('fanfare-position') ?? '';
  const log = cluster.node().log;
  return {
    cluster,
    topics,
    positions: [await positionOf(topics[0]), await positionOf(topics[1])],
    async hang() {
      await victim.pause();
      if (env === noticing) await until('the node notices', () => log.some(({ event }) => event === 'shardLost'));
    },
    resume: () => victim.resume(),
    async [Symbol.asyncDispose]() {
      await victim.resume();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

const api = (cluster: TestCluster, path: string): string => `http://127.0.0.1:${cluster.node().broker.port}/v1/${path}`;

const get = (cluster: TestCluster, path: string): Promise<Response> => fetch(api(cluster, path));

function publish(cluster: TestCluster, topic: string, data: unknown): Promise<Response> {
  const headers = { 'Content-Type': 'application/json' };
  return fetch(api(cluster, `topics/${topic}/publications`), { method: 'POST', headers, body: JSON.stringify(data) });
}

async function open(
  { cluster, topics }: Halves,
  query = '',
  headers: Readonly<Record<string, string>> = {},
): Promise<TestStream> {
  const path = `/v1/events?topic=${topics[0]}&topic=${topics[1]}${query}`;
  const stream = await TestStream.open(cluster.node().broker.port, path, headers);
  streams.push(stream);
  return stream;
}

async function ready(stream: TestStream): Promise<unknown> {
  return JSON.parse((await stream.next('ready')).data);
}

describe.each([
  ['has noticed', noticing],
  ['has not noticed yet', unaware],
])('while a shard hangs and the node %s it,', (_, env) => {
  it('a stream of several topics begins with those of the other shard, and gets the missing ones by position later', async () => {
    await using halves = await startHalves(env);
    const { cluster, topics, positions } = halves;
    await halves.hang();
    const stream = await open(halves, '', { 'Last-Event-ID': positions.join('.') });
    expect(stream.status).toBe(200);
    expect(await ready(stream)).toMatchObject({ positions: positions.join('.'), unavailable: [topics[0]] });
    expect((await publish(cluster, topics[1], 2)).status).toBe(200);
    expect(await stream.take(1)).toMatchObject([{ topic: topics[1], data: 2 }]);
    expect(stream.lastId.split('.')[0]).toBe(positions[0]);
    await halves.resume();
    expect(await ready(stream)).not.toHaveProperty('unavailable');
    await until('the shard is back', async () => (await publish(cluster, topics[0], 2)).status === 200);
    expect(await stream.take(1)).toMatchObject([{ topic: topics[0], data: 2 }]);
  });

  it('a long poll that has publications of the other shard is answered with them', async () => {
    await using halves = await startHalves(env);
    const { cluster, topics, positions } = halves;
    expect((await publish(cluster, topics[0], 2)).status).toBe(200);
    expect((await publish(cluster, topics[1], 2)).status).toBe(200);
    await halves.hang();
    const poll = await open(halves, '&wait=55', { 'Last-Event-ID': positions.join('.') });
    expect(await ready(poll)).toMatchObject({ unavailable: [topics[0]] });
    expect(await poll.take(1)).toMatchObject([{ topic: topics[1], data: 2 }]);
    expect(await poll.ended).toEqual({ isClean: true });
    await halves.resume();
    const next = await open(halves, '&wait=55', { 'Last-Event-ID': poll.lastId });
    expect(await next.take(1)).toMatchObject([{ topic: topics[0], data: 2 }]);
  });

  it('a new stream gets the missing topic from when it is back', async () => {
    await using halves = await startHalves(env);
    const { cluster, topics } = halves;
    await halves.hang();
    const stream = await open(halves);
    expect(await ready(stream)).toMatchObject({ unavailable: [topics[0]] });
    expect(stream.lastId.split('.')[0]).toBe('*');
    await halves.resume();
    expect(await ready(stream)).not.toHaveProperty('unavailable');
    expect(stream.lastId).not.toContain('*');
    await until('the shard is back', async () => (await publish(cluster, topics[0], 2)).status === 200);
    expect(await stream.take(1)).toMatchObject([{ topic: topics[0], data: 2 }]);
  });

  it('a WebSocket that subscribes, publishes and reads the history gets the answers about the other shard', async () => {
    await using halves = await startHalves(env);
    const { cluster, topics } = halves;
    await halves.hang();
    const connection = await cluster.connect();
    const hung = { topic: topics[0] } as const;
    const unanswered = [
      connection.subscribe(hung.topic),
      connection.publish(hung.topic, 2),
      connection.request({ ...hung, type: 'history', since: null, limit: null, direction: null }),
    ];
    expect(await connection.subscribe(topics[1])).toMatchObject({ type: 'subscribed' });
    expect(await connection.publish(topics[1], 3)).toMatchObject({ type: 'published' });
    expect(await connection.take(topics[1], 1)).toEqual([3]);
    const read = { type: 'history', topic: topics[1], since: null, limit: null, direction: null } as const;
    expect(await connection.request(read)).toMatchObject({ type: 'history' });
    expect((await get(cluster, `topics/${topics[1]}`)).status).toBe(200);
    expect((await get(cluster, `topics/${topics[1]}/publications`)).status).toBe(200);
    await halves.resume();
    for (const reply of await Promise.all(unanswered))
      if (reply.type === 'error') expect(reply).toMatchObject({ retryable: true });
  });
});

describe('when a node has noticed that a shard hangs,', () => {
  it('a batch is answered with 207, and the topics of the hung shard are unavailable everywhere', async () => {
    await using halves = await startHalves(noticing);
    const { cluster, topics } = halves;
    await halves.hang();
    const body = JSON.stringify({ publications: topics.map((topic) => ({ topic, data: 2 })) });
    const headers = { 'Content-Type': 'application/json' };
    const batch = await fetch(api(cluster, 'publications'), { method: 'POST', headers, body });
    expect(batch.status).toBe(207);
    expect(await batch.json()).toMatchObject({
      results: [
        { topic: topics[0], status: 503, code: 'unavailable', retryable: true, maybeDelivered: false },
        { topic: topics[1], status: 200, offset: 2 },
      ],
    });
    for (const path of [`topics/${topics[0]}`, `topics/${topics[0]}/publications`, `events?topic=${topics[0]}`]) {
      const answer = await get(cluster, path);
      expect(answer.status).toBe(503);
      expect(await answer.json()).toMatchObject({ code: 'unavailable', retryable: true });
    }
    const connection = await cluster.connect();
    for (const request of [
      connection.subscribe(topics[0]),
      connection.request({ type: 'history', topic: topics[0], since: null, limit: null, direction: null }),
    ])
      expect(await request).toMatchObject({ type: 'error', code: 'unavailable', retryable: true });
  });

  it('the list of topics is unavailable at the page of that shard, and complete when it is back', async () => {
    await using halves = await startHalves(noticing);
    const { cluster } = halves;
    await halves.hang();
    expect(await (await get(cluster, 'topics')).json()).toMatchObject({ code: 'unavailable', retryable: true });
    await halves.resume();
    await until('the node can use both', async () => (await get(cluster, 'topics')).status === 200);
    const listed: string[] = [];
    for (let cursor: string | null = '', page = 0; cursor !== null && page < 10; page++) {
      const query = cursor === '' ? '' : `?cursor=${cursor}`;
      const answer = (await (await get(cluster, `topics${query}`)).json()) as { topics: string[]; next: string | null };
      listed.push(...answer.topics);
      cursor = answer.next;
    }
    expect(new Set(listed).size).toBe(16);
  });

  it('a stream whose topics are all unavailable is refused', async () => {
    await using halves = await startHalves(noticing);
    const { cluster, topics } = halves;
    await halves.hang();
    const stream = await TestStream.open(cluster.node().broker.port, `/v1/events?topic=${topics[0]}`);
    streams.push(stream);
    expect(JSON.parse((await stream.next('unavailable')).data)).toMatchObject({ code: 'unavailable' });
    expect(await stream.ended).toEqual({ isClean: true });
  });
});
