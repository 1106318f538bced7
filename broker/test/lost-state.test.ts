/**
 * Limits of the guarantees when Redis loses its state at a bad moment: with older data, while a node starts, or while
 * one stops.
 */
import { FaultProxy, startRedis } from '@fanfare/local-cluster';
import type { Position } from '@fanfare/protocol';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { Keys } from '../src/relay/keys.js';
import { memoryTimesOf } from '../src/relay/memory-times.js';
import { Partitions } from '../src/relay/partitions.js';
import { scripts } from '../src/relay/scripts.js';
import {
  shortTimes,
  startCluster,
  startMortalNode,
  startNode,
  type TestCluster,
  type TestNode,
  untilForgotten,
} from './harness.js';
import { nameInRedis } from './redis-names.js';
import { TestConnection } from './test-connection.js';
import { until } from './wait.js';

const env = { FANFARE_PROBE_INTERVAL_MS: '500' };

/** For tests that lose data before nodes forget it, on a busy machine too. */
const times = memoryTimesOf(2_000, 200);

/** For tests in which nodes must not forget data, however long a busy machine takes. */
const longTimes = memoryTimesOf(60_000, 500);

async function untilReady(node: TestNode, status = 200): Promise<void> {
  await until(`/readyz is ${status}`, async () => (await node.readiness()).status === status);
}

/** Publishes until it is accepted. It retries like a client, with the same messageId. */
async function publish(connection: TestConnection, topic: string, data: unknown): Promise<Position> {
  const messageId = `${topic}-${data}`.slice(0, 20).replaceAll(' ', '-');
  return until('the publication is accepted', async () => {
    const reply = await connection.request({ type: 'publish', topic, data, messageId });
    return reply.type === 'published' && reply.position;
  });
}

/** Kills Redis and restarts it with the data that it saved last. */
async function restartRedis({ redis, nodes }: TestCluster): Promise<void> {
  await redis.kill();
  for (const node of nodes) await untilReady(node, 503);
  await redis.restart();
  for (const node of nodes) await untilReady(node);
}

async function historyOf(connection: TestConnection, topic: string): Promise<unknown[]> {
  const page = await connection.requestServed({
    type: 'history',
    topic,
    since: null,
    limit: 1_000,
    direction: 'forward',
  });
  if (page.type !== 'history') throw new Error(`No history: ${JSON.stringify(page)}`);
  return page.publications.map((item) => ('data' in item ? item.data : item));
}

/** Makes Redis end all epochs at the next recovery, through a node that never returns. */
async function addNodeThatNeverComes(cluster: TestCluster, admin: Redis): Promise<void> {
  await admin.zadd('fanfare:nodes', Number.MAX_SAFE_INTEGER, 'gone');
  for (const node of cluster.nodes)
    await until(
      'the recovery waits for that node',
      async () => (await node.metric('fanfare_nodes')) === cluster.nodes.length + 1,
    );
}

// Concurrent: most of these tests wait until no node remembers a publication, or until nodes no longer wait for a node.
describe.concurrent('a subscriber after Redis has restarted with older data', () => {
  it('is notified of missing publications on a topic without subscribers, also if the node has published too much to remember', async () => {
    await using cluster = await startCluster({ redis: true, env });
    const writer = await cluster.connect();
    const admin = new Redis(cluster.redis.url);
    admin.on('error', () => undefined);
    for (let number = 1; number <= 5; number++) await publish(writer, 'quiet', number);
    await admin.save();
    const seen = await publish(writer, 'quiet', 6);
    // More than a node remembers of its publications.
    const megabytes = Array.from({ length: 340 }, (_, index) => `${index} ${'x'.repeat(60_000)}`);
    for (const text of megabytes) await publish(writer, 'large', text);
    await restartRedis(cluster);
    await publish(writer, 'quiet', 'another 6');
    await using reader = await TestConnection.open(cluster.node().url);
    for (const offset of [seen.offset, seen.offset - 1]) {
      const since = { epoch: seen.epoch, offset };
      expect(await reader.requestServed({ type: 'subscribe', topic: 'quiet', since })).toMatchObject({
        recovered: false,
      });
      await reader.unsubscribe('quiet');
    }
    admin.disconnect();
  });

  it('is notified of missing publications, even if nodes probe rarely', async () => {
    const seldom = { ...env, FANFARE_PROBE_INTERVAL_MS: '60000' };
    await using cluster = await startCluster({ redis: true, env: seldom, times: shortTimes });
    const writer = await cluster.connect();
    const admin = new Redis(cluster.redis.url);
    admin.on('error', () => undefined);
    await publish(writer, 'quiet', 1);
    await admin.save();
    const seen = await publish(writer, 'quiet', 2);
    await untilForgotten(admin);
    await restartRedis(cluster);
    await publish(writer, 'quiet', 'another 2');
    expect(await writer.requestServed({ type: 'subscribe', topic: 'quiet', since: seen })).toMatchObject({
      recovered: false,
    });
    admin.disconnect();
  });

  it('gets publications that a node remembers for as long as Redis does not answer', async () => {
    const patient = { FANFARE_REDIS_TIMEOUT_MS: '60000', FANFARE_PROBE_INTERVAL_MS: '60000' };
    await using cluster = await startCluster({ redis: true, env: patient, times });
    const writer = await cluster.connect();
    const admin = new Redis(cluster.redis.url);
    admin.on('error', () => undefined);
    await publish(writer, 'quiet', 1);
    await admin.save();
    const since = await publish(writer, 'quiet', 2);
    await cluster.redis.pause();
    const pausedAt = performance.now();
    const enoughMs = times.rememberMs + 5 * times.maxHeartbeatMs;
    await until('more time has passed than a node remembers', () => performance.now() - pausedAt > enoughMs);
    await restartRedis(cluster);
    await publish(writer, 'quiet', 3);
    expect(await writer.requestServed({ type: 'subscribe', topic: 'quiet', since })).toMatchObject({
      recovered: true,
      publications: [{ data: 3 }],
    });
    admin.disconnect();
  });

  it.each([
    { left: 'before the outage', lingerMs: 60_000 },
    { left: 'during the outage', lingerMs: 0 },
  ])('gets publications that only its node remembers, although it left $left', async ({ left, lingerMs }) => {
    const linger = { ...env, FANFARE_UNSUBSCRIBE_LINGER_MS: String(lingerMs) };
    await using cluster = await startCluster({ redis: true, env: linger, times: shortTimes });
    const reader = await cluster.subscriber('t');
    const writer = await cluster.connect();
    const admin = new Redis(cluster.redis.url);
    admin.on('error', () => undefined);
    const since = await publish(writer, 't', 1);
    const before = await admin.dumpBuffer(nameInRedis('t'));
    await publish(writer, 't', 2);
    await reader.take('t', 2);
    await untilForgotten(admin);
    // As after a failover to a replica that was behind.
    await admin.restore(nameInRedis('t'), 0, before, 'REPLACE');
    if (left === 'before the outage') await reader.unsubscribe('t');
    // Redis saves its data when it stops, so nothing else is missing.
    await admin.config('SET', 'save', '3600 1');
    await cluster.redis.stop();
    for (const node of cluster.nodes) await untilReady(node, 503);
    if (left === 'during the outage') await reader.unsubscribe('t');
    await cluster.redis.restart();
    for (const node of cluster.nodes) await untilReady(node);
    expect(await reader.requestServed({ type: 'subscribe', topic: 't', since })).toMatchObject({
      recovered: true,
      publications: [{ data: 2 }],
    });
    admin.disconnect();
  });

  it('gets all publications of a topic without subscribers, which nodes restore', async () => {
    await using cluster = await startCluster({ redis: true, env, times: longTimes });
    const writer = await cluster.connect();
    const admin = new Redis(cluster.redis.url);
    admin.on('error', () => undefined);
    const since = await publish(writer, 'quiet', 1);
    await admin.save();
    for (let number = 2; number <= 5; number++) await publish(writer, 'quiet', number);
    await restartRedis(cluster);
    expect(await writer.requestServed({ type: 'subscribe', topic: 'quiet', since })).toMatchObject({
      recovered: true,
      publications: [{ data: 2 }, { data: 3 }, { data: 4 }, { data: 5 }],
    });
    admin.disconnect();
  });

  it('gets a history that began after the data was saved, which nodes restore', async () => {
    await using cluster = await startCluster({ redis: true, env, times: longTimes });
    const writer = await cluster.connect();
    const admin = new Redis(cluster.redis.url);
    admin.on('error', () => undefined);
    await publish(writer, 't', 'of an older history');
    await admin.save();
    await admin.del(nameInRedis('t'));
    const reader = await cluster.subscriber('t');
    for (let number = 1; number <= 3; number++) await publish(writer, 't', number);
    expect(await reader.take('t', 3)).toEqual([1, 2, 3]);
    await restartRedis(cluster);
    await publish(writer, 't', 4);
    expect(await reader.take('t', 1)).toEqual([4]);
    expect(reader.inbox.waiting).toEqual([]);
    expect(await historyOf(writer, 't')).toEqual([1, 2, 3, 4]);
    admin.disconnect();
  });
});

// Not concurrent: it takes much of the processor, and a late heartbeat of another test would look like a loss.
describe('a node whose Redis loses its scripts while publications are on their way', () => {
  it('continues to read histories, subscribe, and advance the clock', async () => {
    await using cluster = await startCluster({ redis: true });
    const admin = new Redis(cluster.redisUrl);
    const writer = await cluster.connect();
    const [busy, quiet] = [await cluster.connect(), await cluster.connect()];
    await publish(writer, 'quiet', 1);
    const clock = async (): Promise<number> => Number(await admin.get('fanfare:clock'));
    await until('the clock advances', async () => (await clock()) > 0);
    let published = 0;
    let isOver = false;
    const load = (async () => {
      while (!isOver) {
        const number = published + 1;
        await publish(busy, 'busy', number);
        published = number;
      }
    })();
    await until('the publication is accepted', () => published > 20);
    await admin.script('FLUSH');
    const before = published;
    await until('the next publication is accepted', () => published > before + 20);
    expect(await historyOf(quiet, 'quiet')).toEqual([1]);
    expect(await quiet.subscribe('another')).toMatchObject({ type: 'subscribed' });
    const flushedAt = await clock();
    await until('the clock advances again', async () => (await clock()) > flushedAt);
    isOver = true;
    await load;
    admin.disconnect();
  });
});

describe.concurrent('a broker that changes the epoch of every topic', () => {
  it('delivers all publications acknowledged under the new epoch to subscribers that stayed', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    const admin = new Redis(cluster.redisUrl);
    const topics = Array.from({ length: 30 }, (_, index) => `t.${index}`);
    const readers = [await cluster.connect(0), await cluster.connect(1, 'json')];
    for (const reader of readers)
      for (const topic of topics)
        await until('it is subscribed', async () => (await reader.subscribe(topic)).type === 'subscribed');
    const writer = await cluster.connect(0);
    await Promise.all(topics.map((topic) => publish(writer, topic, 'before')));
    for (const reader of readers) for (const topic of topics) await reader.take(topic, 1);
    await addNodeThatNeverComes(cluster, admin);
    await admin.del('fanfare:generation');
    // At once and repeatedly, while the other node does not know yet.
    const burst = topics.map(async (topic) => {
      for (let number = 0; number < 20; number++) await publish(writer, topic, number);
    });
    await Promise.all(burst);
    const numbers = Array.from({ length: 20 }, (_, number) => number);
    for (const reader of readers) {
      for (const topic of topics) {
        expect(await reader.take(topic, 20), topic).toEqual(numbers);
        expect((await reader.next('reset')).topic).toBeDefined();
      }
      expect(reader.inbox.waiting).toEqual([]);
    }
    admin.disconnect();
  });

  it.each([0, 1])('keeps the histories if Redis returns with its previous data (%i published since)', async (since) => {
    await using cluster = await startCluster({ redis: true, env });
    const admin = new Redis(cluster.redis.url);
    admin.on('error', () => undefined);
    const writer = await cluster.connect();
    const reader = await cluster.subscriber('t');
    const texts = ['a', 'b', 'c'];
    for (const text of texts) await publish(writer, 't', text);
    await reader.take('t', texts.length);
    await admin.save();
    await addNodeThatNeverComes(cluster, admin);
    await admin.del('fanfare:generation');
    await reader.inbox.take('the reset', ({ type }) => type === 'reset');
    for (let number = 0; number < since; number++) {
      await publish(writer, 't', `after ${number}`);
      texts.push(`after ${number}`);
    }
    await restartRedis(cluster);
    expect(await historyOf(writer, 't')).toEqual(texts);
    admin.disconnect();
  });

  it('keeps the histories, however large they are', async () => {
    const long = { ...env, FANFARE_TOPICS: '{"long":{"historySize":1500}}' };
    await using cluster = await startCluster({ redis: true, env: long });
    const admin = new Redis(cluster.redisUrl);
    const writer = await cluster.connect();
    const numbers = Array.from({ length: 1_500 }, (_, number) => number);
    for (const number of numbers) writer.post('long', number);
    await until('all publications are stored', async () => (await publish(writer, 'long', 'last')).offset > 1_500);
    await addNodeThatNeverComes(cluster, admin);
    await admin.del('fanfare:generation');
    await untilReady(cluster.node(), 503);
    await untilReady(cluster.node());
    const pages = new Set<unknown>();
    let since: Position | null = null;
    for (;;) {
      const page = await writer.requestServed({
        type: 'history',
        topic: 'long',
        since,
        limit: 1_000,
        direction: 'forward',
      });
      if (page.type !== 'history' || page.first === null) break;
      for (const item of page.publications) pages.add('data' in item ? item.data : item);
      since = { epoch: page.position.epoch, offset: page.first + page.publications.length - 1 };
    }
    expect(numbers.filter((number) => !pages.has(number))).toEqual([]);
    admin.disconnect();
  });
});

describe.concurrent('a node that starts after Redis has lost its state', () => {
  it('waits for a node that knows the content of Redis', async () => {
    await using redis = await startRedis();
    await using proxy = await FaultProxy.start({ targetPort: redis.port });
    await using cluster = await startCluster({ redis, env: { ...env, FANFARE_REDIS_URL: `redis://${proxy.address}` } });
    const reader = await cluster.subscriber('t');
    const writer = await cluster.connect();
    const position = await publish(writer, 't', 1);
    await reader.take('t', 1);
    await redis.kill();
    await untilReady(cluster.node(), 503);
    await proxy.refuse();
    await redis.restart();
    const newcomer = await startNode({ ...env, FANFARE_REDIS_URL: redis.url, FANFARE_NEW_NODE_WAIT_MS: '60000' });
    await until('the node waits', () => newcomer.log.some(({ event }) => event === 'waitingForNodes'));
    expect((await newcomer.readiness()).status).toBe(503);
    await proxy.heal();
    await untilReady(newcomer);
    await untilReady(cluster.node());
    const there = await TestConnection.open(newcomer.url);
    expect(
      await there.requestServed({ type: 'subscribe', topic: 't', since: { ...position, offset: 0 } }),
    ).toMatchObject({
      recovered: true,
      publications: [{ data: 1 }],
    });
    await publish(there, 't', 2);
    expect(await reader.take('t', 1)).toEqual([2]);
    expect(reader.inbox.waiting).toEqual([]);
    await there.close();
    await newcomer.broker.drain({ atOnce: true });
  });

  it('waits for the nodes that receive its call if all data was deleted', async () => {
    await using cluster = await startCluster({ nodes: 2, env: { ...env, FANFARE_PROBE_INTERVAL_MS: '60000' } });
    const admin = new Redis(cluster.redisUrl);
    const reader = await cluster.subscriber('t', 1);
    const writer = await cluster.connect(0);
    const position = await publish(writer, 't', 1);
    await reader.take('t', 1);
    await admin.flushall();
    // The first node to ask.
    const newcomer = await startNode({ ...env, FANFARE_REDIS_URL: cluster.redisUrl });
    await untilReady(newcomer);
    const there = await TestConnection.open(newcomer.url);
    expect(
      await there.requestServed({ type: 'subscribe', topic: 't', since: { ...position, offset: 0 } }),
    ).toMatchObject({
      recovered: true,
      publications: [{ data: 1 }],
    });
    await there.close();
    await newcomer.broker.drain({ atOnce: true });
    admin.disconnect();
  });
});

/** A node that exists only as records in Redis: the others wait for it to restore its data. */
class SlowNode {
  readonly #admin: Redis;
  readonly #listener: Redis;
  readonly #keys = new Keys('fanfare', 0, new Partitions(64));

  private constructor(admin: Redis, listener: Redis) {
    this.#admin = admin;
    this.#listener = listener;
  }

  /** It receives the call to the next recovery. */
  static async start(admin: Redis): Promise<SlowNode> {
    const node = new SlowNode(admin, admin.duplicate());
    await node.#listener.ssubscribe(node.#keys.control);
    return node;
  }

  /** Resolves with the next step of this stage, once the node has done it (lua/recover.lua). */
  async report(stage: number): Promise<string> {
    const { generation, newestEpoch, run, recovery, clock, layout, layoutName, nodes, unpublished, control } =
      this.#keys;
    const name = (await this.#admin.hget(recovery, 'name')) ?? '';
    const keys = [generation, newestEpoch, run, recovery, clock, layout, nodes, unpublished];
    const args = ['slow', 2_000, stage, '1', 0, 5_000, 'unused', control, name, 5_000, layoutName, '0', '1', 0, 0, 0];
    const { source } = scripts.recover;
    return String(((await this.#admin.call('EVAL', source, keys.length, ...keys, ...args)) as string[])[0]);
  }

  /** Resolves once all other nodes have reached this stage. */
  async untilOthers(stage: number): Promise<void> {
    await until(`the other nodes are at stage ${stage}`, async () => {
      const fields = Object.entries(await this.#admin.hgetall(this.#keys.recovery));
      const stages = fields.filter(([field]) => field.startsWith('node:') && field !== 'node:slow');
      return stages.length === 2 && stages.every(([, reached]) => Number(reached) >= stage);
    });
  }

  async waitedMs(): Promise<number> {
    return Number(await this.#admin.hget(this.#keys.recovery, 'waited'));
  }

  close(): void {
    this.#listener.disconnect();
  }
}

describe.concurrent('a recovery in which nodes restore what Redis has lost', () => {
  it('notifies no client of a reset if a node has done its part and loses its connection before the end', async () => {
    await using redis = await startRedis();
    await using way = await FaultProxy.start({ targetPort: redis.port });
    const envOf = (index: number) => ({ FANFARE_REDIS_URL: index === 0 ? redis.url : `redis://${way.address}` });
    await using cluster = await startCluster({ nodes: 2, redis: false, env, envOf });
    for (const node of cluster.nodes) await untilReady(node);
    const admin = new Redis(redis.url);
    const writer = await cluster.connect(0);
    // Before the other node subscribes, so that it remembers none of them.
    for (const number of [1, 2, 3]) await publish(writer, 't', number);
    const reader = await cluster.subscriber('t', 1);
    const slow = await SlowNode.start(admin);
    await admin.flushall();
    for (const stage of [1, 2]) {
      await slow.untilOthers(stage);
      expect(await slow.report(stage)).not.toBe('serving');
    }
    await slow.untilOthers(3);
    await way.refuse();
    expect(await slow.report(3)).toBe('serving');
    for (const number of [4, 5, 6]) await publish(writer, 't', number);
    await way.heal();
    await untilReady(cluster.node(1));
    expect(await reader.take('t', 3)).toEqual([4, 5, 6]);
    expect(reader.inbox.waiting).toEqual([]);
    slow.close();
    admin.disconnect();
  });

  it('keeps the connections of nodes open, however long it takes', async () => {
    await using cluster = await startCluster({ nodes: 2, env: { ...env, FANFARE_PROBE_INTERVAL_MS: '500' } });
    const admin = new Redis(cluster.redisUrl);
    const slow = await SlowNode.start(admin);
    await admin.flushall();
    await slow.untilOthers(1);
    await until('more than three probes are due', async () => (await slow.waitedMs()) > 2_000);
    // A single probe may be late on a busy machine.
    for (const node of cluster.nodes) expect(node.log.filter(({ event }) => event === 'busDead')).toEqual([]);
    slow.close();
    admin.disconnect();
  });
});

describe.concurrent('a node that stops', () => {
  it('stays while only it remembers publications, and the others do not wait for it afterwards', async () => {
    await using redis = await startRedis();
    await using cluster = await startCluster({ nodes: 2, redis, env, times });
    const admin = new Redis(redis.url);
    const reader = await cluster.subscriber('t', 0);
    const stops = await startNode({ ...env, FANFARE_REDIS_URL: redis.url, FANFARE_DRAIN_WINDOW_MS: '1' }, times);
    await untilReady(stops);
    await until('all three nodes are known', async () => (await cluster.node(0).metric('fanfare_nodes')) === 3);
    const writer = await TestConnection.open(stops.url);
    const position = await publish(writer, 'quiet', 1);
    const publishedAt = performance.now();
    await writer.close();
    const stopping = stops.broker.drain();
    // It takes part in the recovery while it waits.
    const recoveries = () => cluster.node(0).metric('fanfare_recoveries_total');
    await admin.flushall();
    await until('the recovery is complete', async () => (await recoveries()) === 1);
    await untilReady(cluster.node(1));
    const there = await cluster.connect(1);
    const since = { ...position, offset: 0 };
    expect(await there.requestServed({ type: 'subscribe', topic: 'quiet', since })).toMatchObject({
      recovered: true,
      publications: [{ data: 1 }],
    });
    await stopping;
    expect(performance.now() - publishedAt).toBeGreaterThan(times.leaseMs - 100);
    await until('only two nodes are known', async () => (await cluster.node(0).metric('fanfare_nodes')) === 2);
    await admin.flushall();
    await until('the second recovery is complete', async () => (await recoveries()) === 2);
    await publish(await cluster.connect(1), 't', 1);
    expect(await reader.take('t', 1)).toEqual([1]);
    expect(reader.inbox.waiting).toEqual([]);
    admin.disconnect();
  });
});

describe.concurrent('a node that was killed', () => {
  it('does not delay the recovery if Redis restarts with data that ends after its death', async () => {
    await using redis = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
    await using cluster = await startCluster({ nodes: 2, redis, env });
    const admin = new Redis(redis.url);
    admin.on('error', () => undefined);
    const reader = await cluster.subscriber('t', 0);
    await using killed = await startMortalNode(redis);
    await until('all three nodes are known', async () => (await cluster.node(0).metric('fanfare_nodes')) === 3);
    const there = await TestConnection.open(killed.url);
    const since = await publish(there, 'quiet', 1);
    await publish(there, 'quiet', 2);
    await killed.kill();
    await there.close();
    const clock = async (): Promise<number> => Number(await admin.get('fanfare:clock'));
    const diedAt = await clock();
    await until('the data ends after its death', async () => (await clock()) > diedAt + 2_500);
    expect(await cluster.node(0).metric('fanfare_nodes')).toBe(3);
    await restartRedis(cluster);
    const writer = await cluster.connect(1);
    await publish(writer, 't', 1);
    expect(await reader.take('t', 1)).toEqual([1]);
    expect(reader.inbox.waiting).toEqual([]);
    expect(await writer.requestServed({ type: 'subscribe', topic: 'quiet', since })).toMatchObject({
      recovered: true,
      publications: [{ data: 2 }],
    });
    admin.disconnect();
  });

  it.each([
    ['ends no history if it had never published', false],
    ['ends every history if it had published', true],
  ])('together with all data of Redis %s', async (_, hasPublished) => {
    await using cluster = await startCluster({ nodes: 2, env });
    const admin = new Redis(cluster.redis.url);
    const recoveries = () => cluster.node(0).metric('fanfare_recoveries_total');
    await using killed = await startMortalNode(cluster.redis);
    await until('all three nodes are known', async () => (await cluster.node(0).metric('fanfare_nodes')) === 3);
    await until('Redis knows that none has published', async () => (await admin.zcard('fanfare:unpublished')) === 3);
    const writer = await cluster.connect(1);
    const since = await publish(writer, 't', 1);
    await publish(writer, 't', 2);
    const there = await TestConnection.open(killed.url);
    // To a topic to which the others neither publish nor subscribe.
    if (hasPublished) await publish(there, 'quiet', 1);
    await killed.kill();
    await there.close();
    await admin.flushall();
    await until('the recovery is complete', async () => (await recoveries()) === 1);
    for (const node of cluster.nodes) await untilReady(node);
    expect(await writer.requestServed({ type: 'subscribe', topic: 't', since })).toMatchObject({
      recovered: !hasPublished,
    });
    await publish(writer, 't', 3);
    expect(await historyOf(writer, 't')).toEqual([1, 2, 3]);
    admin.disconnect();
  });
});
