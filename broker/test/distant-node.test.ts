/**
 * Nodes at different distances from Redis: no node denies publications that another node has acknowledged, and the
 * distance does not change the order.
 */
import { FaultProxy, startRedis } from '@fanfare/local-cluster';
import type { Position } from '@fanfare/protocol';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from './harness.js';
import type { TestConnection } from './test-connection.js';
import { until } from './wait.js';

interface Stage extends AsyncDisposable {
  /** Node 0 is near Redis, node 1 behind `proxy`. */
  readonly cluster: TestCluster;
  readonly proxy: FaultProxy;
  readonly admin: Redis;
}

async function setStage(env: Readonly<Record<string, string>> = {}): Promise<Stage> {
  const redis = await startRedis();
  const proxy = await FaultProxy.start({ targetPort: redis.port });
  const envOf = (node: number) => ({ FANFARE_REDIS_URL: node === 0 ? redis.url : `redis://${proxy.address}` });
  const cluster = await startCluster({ nodes: 2, redis, env, envOf });
  const admin = new Redis(redis.url);
  return {
    cluster,
    proxy,
    admin,
    async [Symbol.asyncDispose]() {
      admin.disconnect();
      await cluster[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
      await redis[Symbol.asyncDispose]();
    },
  };
}

async function positionOf(connection: TestConnection, topic: string, data: unknown): Promise<Position> {
  const reply = await connection.publish(topic, data);
  if (reply.type !== 'published' || reply.position === null) throw new Error(`Not published: ${JSON.stringify(reply)}`);
  return reply.position;
}

const history = (since: Position | null) =>
  ({ type: 'history', topic: 't', since, limit: 100, direction: 'forward' }) as const;

describe('a script that Redis has lost', () => {
  it('does not change the order of publications on the way, even if another node loads it first', async () => {
    await using stage = await setStage();
    const { cluster, proxy, admin } = stage;
    const near = await cluster.connect(0);
    const distant = await cluster.connect(1);
    const reader = await cluster.subscriber('t', 0);
    const publish = (number: number) =>
      distant.send({ type: 'publish', id: 1_000 + number, topic: 't', data: number, messageId: null });
    let count = 0;
    for (let round = 0; round < 6; round++) {
      proxy.delay(round * 2);
      const [flushAt, end] = [count + 60, count + 120];
      for (; count < end; count++) {
        publish(count);
        // Each in its own turn, so that many calls are on their way at once.
        await new Promise((resolve) => setImmediate(resolve));
        if (count !== flushAt) continue;
        await admin.script('FLUSH');
        // The near node notices first.
        await until('the node has a script again', async () => (await near.publish('other', 1)).type === 'published');
      }
      for (let number = count - 120; number < count; number++) {
        const isReply = (message: object) => 'id' in message && message.id === 1_000 + number;
        expect(await distant.inbox.take(`a reply to ${number}`, isReply)).toEqual(
          expect.objectContaining({ type: 'published' }),
        );
      }
    }
    expect(await reader.take('t', count)).toEqual(Array.from({ length: count }, (_, number) => number));
  });

  it('is loaded once, not by every node', async () => {
    await using stage = await setStage();
    const { cluster, admin } = stage;
    const writers = await Promise.all([cluster.connect(0), cluster.connect(1)]);
    const copies = async () => Number(/number_of_cached_scripts:(\d+)/.exec(await admin.info('memory'))?.[1]);
    const before = await copies();
    await using more = await startCluster({ nodes: 2, redis: cluster.redis });
    for (const writer of [...writers, await more.connect(0), await more.connect(1)])
      expect(await writer.publish('t', 1)).toMatchObject({ type: 'published' });
    expect(await copies()).toBe(before);
  });
});

describe('a history from a node that is behind', () => {
  it('contains every publication that was acknowledged before the request', async () => {
    await using stage = await setStage();
    const { cluster, proxy } = stage;
    const writer = await cluster.connect(0);
    const reader = await cluster.subscriber('t', 1);
    const first = await positionOf(writer, 't', 0);
    await reader.take('t', 1);
    proxy.delay(3);
    for (let number = 1; number <= 30; number++) {
      const { offset } = await positionOf(writer, 't', number);
      const page = await reader.request(history(first));
      expect(page).toMatchObject({ type: 'history', recovered: true, position: { offset } });
      if (page.type === 'history') expect(page.publications.at(-1)).toMatchObject({ data: number });
    }
  });

  it('is refused while the node cannot ask Redis', async () => {
    await using stage = await setStage({ FANFARE_REDIS_TIMEOUT_MS: '1000', FANFARE_PROBE_INTERVAL_MS: '500' });
    const { cluster, proxy } = stage;
    const writer = await cluster.connect(0);
    const reader = await cluster.subscriber('t', 1);
    const first = await positionOf(writer, 't', 0);
    await reader.take('t', 1);
    proxy.blackhole();
    await positionOf(writer, 't', 1);
    const refused = { type: 'error', code: 'unavailable', retryable: true };
    // Before the node has noticed the outage, and after.
    expect(await reader.request(history(first))).toMatchObject(refused);
    await until('the node has noticed the outage', async () => (await cluster.node(1).readiness()).status === 503);
    expect(await reader.request(history(first))).toMatchObject(refused);
    await proxy.heal();
    await until('Redis is connected again', async () => (await cluster.node(1).readiness()).status === 200);
    expect(await reader.request(history(first))).toMatchObject({ recovered: true, publications: [{ data: 1 }] });
  });

  it('comes from the memory of the node if it is current, with one call to Redis for all requests of a turn', async () => {
    await using stage = await setStage({ FANFARE_PROBE_INTERVAL_MS: '60000' });
    const { cluster } = stage;
    const writer = await cluster.connect(0);
    const reader = await cluster.subscriber('t', 1);
    const first = await positionOf(writer, 't', 0);
    for (let number = 1; number <= 5; number++) await positionOf(writer, 't', number);
    await reader.take('t', 6);
    const calls = () => cluster.node(1).metric('fanfare_redis_script_calls_total');
    const before = await calls();
    // The maximum number of concurrent requests of a connection.
    const commands = Array.from({ length: 8 }, (_, index) => ({ ...history(first), id: 1_000 + index }));
    reader.send(...commands);
    for (const { id } of commands) {
      const page = await reader.inbox.take('an answer', (message) => 'id' in message && message.id === id);
      expect(page).toMatchObject({ type: 'history', first: 2, publications: { length: 5 } });
    }
    // One call, and heartbeats.
    expect((await calls()) - before).toBeLessThan(commands.length);
  });
});

describe('a subscriber that connects to a node that is behind', () => {
  it('gets an error, and no gap or reset, if the node cannot read publications that the subscriber has already seen', async () => {
    await using stage = await setStage({ FANFARE_REDIS_TIMEOUT_MS: '1000', FANFARE_PROBE_INTERVAL_MS: '500' });
    const { cluster, proxy } = stage;
    const writer = await cluster.connect(0);
    const stays = await cluster.subscriber('t', 1);
    await positionOf(writer, 't', 0);
    await stays.take('t', 1);
    proxy.blackhole();
    const seen = await positionOf(writer, 't', 1);
    const comes = await cluster.connect(1);
    const subscribe = { type: 'subscribe', topic: 't', since: seen } as const;
    expect(await comes.request(subscribe)).toMatchObject({ type: 'error', code: 'unavailable', retryable: true });
    await proxy.heal();
    await until('Redis is connected again', async () => (await cluster.node(1).readiness()).status === 200);
    expect(await comes.request(subscribe)).toMatchObject({ recovered: true, position: seen, publications: [] });
  });
});
