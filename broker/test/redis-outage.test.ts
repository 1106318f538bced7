import { startRedis } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { fastTopics, startCluster, type TestCluster } from './harness.js';
import type { TestConnection } from './test-connection.js';
import { until } from './wait.js';

const env = fastTopics;

/** For nodes that must notice that Redis hangs. */
const quick = { FANFARE_REDIS_TIMEOUT_MS: '1000', ...env };

async function untilReady(cluster: TestCluster, isReady: boolean): Promise<void> {
  for (const node of cluster.nodes) {
    await until(
      `the node is ${isReady ? 'ready' : 'not ready'}`,
      async () => ((await node.readiness()).status === 200) === isReady,
    );
  }
}

/** Publishes until one arrives: the reader must be served again, however long the nodes take to reconnect. */
async function untilDelivered(writer: TestConnection, reader: TestConnection, topic: string): Promise<void> {
  let hasArrived = false;
  const arrival = reader.inbox.take(
    'the probe arrives',
    (message) =>
      message.type === 'publications' && message.items.some((item) => 'data' in item && item.data === 'probe'),
  );
  const noted = arrival.then(() => {
    hasArrived = true;
  });
  await until('a publication arrives', async () => {
    await writer.publish(topic, 'probe');
    return hasArrived;
  });
  await noted;
}

describe('a node whose Redis is not running at startup', () => {
  it('reports that in the log and in readiness, refuses publishes and subscriptions at once, and connects later', async () => {
    const redis = await startRedis();
    await redis.kill();
    await using cluster = await startCluster({ nodes: 1, redis, env, waitReady: false });
    const node = cluster.node();
    await until('the node logs it', () => node.log.some(({ event }) => event === 'redisError'));
    expect(node.log.find(({ event }) => event === 'redisError')?.msg).toBe(
      'Redis refuses the connection. Check that it is running and that FANFARE_REDIS_URL has its host and port.',
    );
    expect(await node.readiness()).toEqual({
      status: 503,
      reason:
        'Redis is not connected. Redis refuses the connection. Check that it is running and that FANFARE_REDIS_URL has its host and port.',
    });
    expect(await node.metric('fanfare_relay_connected')).toBe(0);
    expect(await node.metric('fanfare_not_ready{reason="connecting"}')).toBe(1);
    const client = await cluster.connect();
    expect(await client.publish('t', 1)).toMatchObject({ type: 'error', code: 'unavailable', retryable: true });
    expect(await client.subscribe('t')).toMatchObject({ type: 'error', code: 'unavailable', retryable: true });
    await redis.restart();
    await untilReady(cluster, true);
    expect(await node.metric('fanfare_not_ready{reason="connecting"}')).toBe(0);
    expect(await client.subscribe('t')).toMatchObject({ type: 'subscribed' });
    expect(await client.publish('t', 2)).toMatchObject({ type: 'published' });
    expect(await client.take('t', 1)).toEqual([2]);
    await redis[Symbol.asyncDispose]();
  });
});

describe('a node whose Redis requires a password', () => {
  it.each(['', ':wrong@'])(
    'logs what to do if the password is wrong or missing (credentials "%s")',
    async (credentials) => {
      await using redis = await startRedis({ args: ['--requirepass', 'right'] });
      const url = redis.url.replace('redis://', `redis://${credentials}`);
      await using cluster = await startCluster({ env: { ...env, FANFARE_REDIS_URL: url }, waitReady: false });
      const node = cluster.node();
      await until('the node logs it', () => node.log.some(({ event }) => event === 'redisError'));
      const { msg } = node.log.find(({ event }) => event === 'redisError') ?? { msg: '' };
      expect(msg).toContain('FANFARE_REDIS_URL');
      expect(msg).toContain('password');
      expect(JSON.stringify(node.log)).not.toContain('wrong');
      const client = await cluster.connect();
      expect(await client.publish('t', 1)).toMatchObject({ type: 'error', code: 'unavailable' });
      expect((await node.readiness()).status).toBe(503);
    },
  );

  it('works if the password is right', async () => {
    await using redis = await startRedis({ args: ['--requirepass', 'right'] });
    const url = redis.url.replace('redis://', 'redis://:right@');
    await using cluster = await startCluster({ nodes: 2, redis: false, env: { ...env, FANFARE_REDIS_URL: url } });
    const reader = await cluster.subscriber('t', 1);
    const writer = await cluster.connect();
    await writer.publish('t', 1);
    expect(await reader.take('t', 1)).toEqual([1]);
  });
});

describe('a node whose Redis contains other data', () => {
  const release = (layout: string): string =>
    `The data in Redis was written by an incompatible release of Fanfare (layout ${layout} is not 3.64). Use a different FANFARE_REDIS_PREFIX for this release (docs/operations.md, Upgrades).`;

  it.each([
    // Of releases before partitions, in database 0 and in the others.
    ['of layout 1', '1', release('1')],
    ['of layout 2', '2', release('2')],
    ['of an unknown layout', '7', release('7')],
    [
      'with another number of partitions',
      '3.32',
      'The data in Redis has 32 partitions, but FANFARE_REDIS_PARTITIONS is 64. Set it to 32: the number is fixed for the lifetime of FANFARE_REDIS_PREFIX.',
    ],
  ])(
    '%s neither serves clients nor writes, and logs that, until it has another prefix',
    async (_, layout, sentence) => {
      await using redis = await startRedis();
      const admin = new Redis(redis.url);
      await admin.set('fanfare:layout', layout);
      await using cluster = await startCluster({ redis, waitReady: false });
      const node = cluster.node();
      await until('the node logs it', () => node.log.some(({ msg }) => msg === sentence));
      expect((await node.readiness()).status).toBe(503);
      const client = await cluster.connect();
      expect(await client.publish('t', 1)).toMatchObject({ type: 'error', code: 'unavailable' });
      expect(await admin.keys('*')).toEqual(['fanfare:layout']);
      await using other = await startCluster({ redis, env: { FANFARE_REDIS_PREFIX: 'next' } });
      expect(await (await other.connect()).publish('t', 1)).toMatchObject({ type: 'published' });
      expect(await admin.get('next:layout')).toBe('3.64');
      admin.disconnect();
    },
  );
});

describe('a node whose Redis is taken over by another release', () => {
  it('logs that and becomes not ready within a heartbeat, even if all topics are fast, until the data is as before', async () => {
    await using cluster = await startCluster({ redis: true, env: { ...env, FANFARE_PROBE_INTERVAL_MS: '200' } });
    const node = cluster.node();
    const admin = new Redis(cluster.redis.url);
    await admin.set('fanfare:layout', '7');
    await until('the node logs it', () => node.log.some(({ msg }) => msg.includes('(layout 7 is not 3.64)')));
    await untilReady(cluster, false);
    await admin.set('fanfare:layout', '3.64');
    await untilReady(cluster, true);
    admin.disconnect();
  });
});

describe('a Redis that is killed under load and restarted', () => {
  it('causes a named error for publishers, one gap for subscribers, and no duplicates', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    const near = await cluster.subscriber('t');
    const far = await cluster.subscriber('t', 1, 'json');
    const writer = await cluster.connect();
    const accepted: number[] = [];
    const codes = new Set<string>();
    let isOver = false;
    const load = (async () => {
      for (let number = 0; !isOver; number++) {
        const reply = await writer.publish('t', number);
        if (reply.type === 'published') accepted.push(number);
        else if (reply.type === 'error') codes.add(reply.code);
      }
    })();
    await until('publications are accepted', () => accepted.length > 200);
    await cluster.redis.kill();
    await until('the publisher gets an error', () => codes.has('unavailable'));
    await untilReady(cluster, false);
    const acceptedBefore = accepted.length;
    await cluster.redis.restart();
    await untilReady(cluster, true);
    await until('publications are accepted again', () => accepted.length > acceptedBefore + 200);
    isOver = true;
    await load;
    for (const reader of [near, far]) {
      expect(await reader.next('gap')).toEqual({ type: 'gap', topic: 't', position: null });
      await until('the last publication has arrived', () =>
        reader.inbox.waiting.some(
          (message) =>
            message.type === 'publications' &&
            message.items.some((item) => 'data' in item && item.data === accepted.at(-1)),
        ),
      );
      const numbers = reader.inbox.waiting.flatMap((message) =>
        message.type === 'publications'
          ? message.items.map((item) => ('data' in item ? (item.data as number) : -1))
          : [],
      );
      expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
    }
    expect([...codes].every((code) => code === 'unavailable' || code === 'unconfirmed')).toBe(true);
    const { log } = cluster.node();
    expect(log.filter(({ event }) => event === 'redisLost').length).toBe(2);
    expect(log.filter(({ event }) => event === 'redisConnected').length).toBe(4);
    expect(await cluster.node().metric('fanfare_redis_reconnects_total')).toBe(2);
    expect(await cluster.node().metric('fanfare_gaps_told_total')).toBe(1);
  });

  it('does not prevent publications without acknowledgement from reaching subscribers of the same node', async () => {
    await using cluster = await startCluster({ nodes: 1, redis: true, env });
    const reader = await cluster.subscriber('t');
    const writer = await cluster.connect();
    await cluster.redis.kill();
    await untilReady(cluster, false);
    writer.post('t', 'still', 'here');
    expect(await reader.take('t', 2)).toEqual(['still', 'here']);
    expect(await cluster.node().metric('fanfare_publications_unrelayed_total')).toBe(2);
  });

  it('causes a gap for each of many topics, to which the node resubscribes in batches', async () => {
    await using cluster = await startCluster({
      nodes: 1,
      redis: true,
      env: { ...env, FANFARE_MAX_SUBSCRIPTIONS: '5000' },
    });
    const topics = Array.from({ length: 2_000 }, (_, index) => `many.t${index}`);
    const reader = await cluster.connect();
    reader.send(...topics.map((topic, index) => ({ type: 'subscribe', id: index + 1, topic, since: null }) as const));
    for (const _ of topics) await reader.next('subscribed');
    const before = await cluster.node().metric('fanfare_redis_subscribe_commands_total');
    await cluster.redis.restart();
    const gaps = new Set<string>();
    while (gaps.size < topics.length) gaps.add((await reader.next('gap')).topic);
    // One more for the channels of the node itself.
    expect((await cluster.node().metric('fanfare_redis_subscribe_commands_total')) - before).toBe(
      Math.ceil(2_000 / 512) + 1,
    );
    // The count of Redis since its restart: it includes anything that ioredis might send by itself.
    const admin = new Redis(cluster.redis.url);
    expect(await admin.info('commandstats')).toContain(`cmdstat_ssubscribe:calls=${Math.ceil(2_000 / 512) + 1},`);
    await admin.quit();
  });
});

// Concurrent: they wait for timeouts of Redis.
describe.concurrent('a Redis that hangs', () => {
  it('is logged if it already hangs when the node starts, and used when it answers', async () => {
    await using redis = await startRedis();
    await redis.pause();
    await using cluster = await startCluster({
      nodes: 1,
      redis,
      env: { FANFARE_REDIS_TIMEOUT_MS: '50' },
      waitReady: false,
    });
    const node = cluster.node();
    await until('the node logs it', () => node.log.some(({ event }) => event === 'redisError'));
    expect(node.log.find(({ event }) => event === 'redisError')?.msg).toBe(
      'Redis does not respond. Check that the host is up, reachable and runs Redis.',
    );
    await redis.resume();
    await untilReady(cluster, true);
  });

  it('makes a node refuse publications beyond its limit, and accept them again afterwards', async () => {
    await using cluster = await startCluster({
      nodes: 1,
      redis: true,
      env: { FANFARE_REDIS_TIMEOUT_MS: '5000', FANFARE_MAX_RELAY_BYTES: '65536', ...fastTopics },
    });
    const writer = await cluster.connect();
    await cluster.redis.pause();
    const onTheWay = writer.publish('t', 'x'.repeat(60_000));
    await until(
      'the publication is on the way',
      async () => (await cluster.node().metric('fanfare_redis_publish_commands_total')) === 1,
    );
    expect(await writer.publish('t', 'x'.repeat(60_000))).toMatchObject({
      type: 'error',
      code: 'overloaded',
      retryable: true,
    });
    writer.post('t', 'x'.repeat(60_000));
    expect(await writer.next('error')).toMatchObject({ id: null, code: 'overloaded' });
    expect(await cluster.node().metric('fanfare_publications_overloaded_total')).toBe(2);
    await cluster.redis.resume();
    expect(await onTheWay).toMatchObject({ type: 'published' });
    expect(await writer.publish('t', 'x'.repeat(60_000))).toMatchObject({ type: 'published' });
  });

  it('is disconnected after the timeout; publishes fail with a named error until it answers again', async () => {
    await using cluster = await startCluster({ nodes: 2, env: quick });
    const reader = await cluster.subscriber('t', 1);
    const writer = await cluster.connect();
    await cluster.redis.pause();
    expect(await writer.publish('t', 'on the link')).toMatchObject({
      type: 'error',
      code: 'unconfirmed',
      retryable: true,
    });
    expect(await writer.publish('t', 'after it')).toMatchObject({
      type: 'error',
      code: 'unavailable',
      retryable: true,
    });
    expect(cluster.node().log.some(({ event }) => event === 'redisReset')).toBe(true);
    await cluster.redis.resume();
    await untilDelivered(writer, reader, 't');
  });

  it('loses the subscribing connection too: a replaced master could otherwise return and deliver publications that no other node has', async () => {
    await using cluster = await startCluster({ nodes: 2, env: quick });
    const writer = await cluster.connect();
    await cluster.redis.pause();
    await writer.publish('t', 'on the link');
    const { log } = cluster.node();
    await until('the node closes both connections', () =>
      ['publisher', 'subscriber'].every((link) => log.some((line) => line.event === 'redisLost' && line.link === link)),
    );
    await cluster.redis.resume();
    await untilReady(cluster, true);
  });

  it('makes nodes refuse new subscriptions within the timeout, and accept them when it answers again', async () => {
    await using cluster = await startCluster({ nodes: 2, env: quick });
    const reader = await cluster.connect(1);
    await cluster.redis.pause();
    expect(await reader.subscribe('t')).toMatchObject({ type: 'error', code: 'unavailable', retryable: true });
    await cluster.redis.resume();
    await until('the client is subscribed', async () => (await reader.subscribe('t')).type === 'subscribed');
    await untilDelivered(await cluster.connect(), reader, 't');
  });
});

describe('a master that its replicas cannot reach (min-replicas-to-write)', () => {
  it('accepts no publications to topics with history, so that it cannot be used in parallel to a new master', async () => {
    await using cluster = await startCluster({ nodes: 2, env: { FANFARE_PROBE_INTERVAL_MS: '200' } });
    const admin = new Redis(cluster.redis.url);
    const reader = await cluster.subscriber('t', 1);
    const writer = await cluster.connect();
    await writer.publish('t', 1);
    await admin.config('SET', 'min-replicas-to-write', '1');
    expect(await writer.publish('t', 2)).toMatchObject({ type: 'error', code: 'unavailable', retryable: true });
    await untilReady(cluster, false);
    await until('the node logs it', () => cluster.node().log.some(({ msg }) => msg.includes('min-replicas-to-write')));
    await admin.config('SET', 'min-replicas-to-write', '0');
    await untilReady(cluster, true);
    await writer.publish('t', 3);
    expect(await reader.take('t', 2)).toEqual([1, 3]);
    await admin.quit();
  });
});

describe('a Redis that is out of memory', () => {
  const probeEnv = { FANFARE_PROBE_INTERVAL_MS: '200' };

  it('is reported to clients, in the log and in readiness; nodes do not reconnect, and use it again when it has memory', async () => {
    await using cluster = await startCluster({ nodes: 1, redis: true, env: probeEnv });
    const node = cluster.node();
    const admin = new Redis(cluster.redis.url);
    const writer = await cluster.connect();
    await admin.config('SET', 'maxmemory', '1');
    const refused = {
      type: 'error',
      code: 'unavailable',
      retryable: true,
      message: expect.stringMatching('of memory'),
    };
    expect(await writer.publish('t', 1)).toMatchObject(refused);
    expect(await writer.subscribe('t')).toMatchObject(refused);
    const sentence = 'Redis is out of memory (maxmemory). Give it more memory, or keep less history.';
    await until('the node logs it', () => node.log.some(({ msg }) => msg === sentence));
    const reason = 'Redis is out of memory (maxmemory) and rejects publications';
    await until('readiness reports it', async () => (await node.readiness()).reason === reason);
    expect(await node.metric('fanfare_not_ready{reason="outOfMemory"}')).toBe(1);
    expect(await node.metric('fanfare_not_ready{reason="unproven"}')).toBe(0);
    await until('the node logs the outage', () =>
      node.log.some(({ event, msg }) => event === 'outageBegan' && msg.startsWith(`OUTAGE: ${reason}.`)),
    );
    const missed = await node.metric('fanfare_probes_missed_total');
    await until(
      'the publication is accepted',
      async () => (await node.metric('fanfare_probes_missed_total')) > missed + 3,
    );
    expect(node.log.filter(({ event }) => event === 'probeMissed').length).toBe(2);
    await admin.config('SET', 'maxmemory', '0');
    await untilReady(cluster, true);
    expect(await writer.publish('t', 1)).toMatchObject({ type: 'published' });
    expect(await node.metric('fanfare_redis_reconnects_total')).toBe(0);
    await admin.quit();
  });

  it('is no longer reported if it refuses for another reason, and the node reconnects', async () => {
    await using cluster = await startCluster({ nodes: 1, redis: true, env: probeEnv });
    const node = cluster.node();
    const admin = new Redis(cluster.redis.url);
    await admin.config('SET', 'maxmemory', '1');
    await until('readiness reports it', async () => (await node.readiness()).reason.includes('out of memory'));
    // No write is accepted in between.
    await admin.config('SET', 'min-replicas-to-write', '1');
    await admin.config('SET', 'maxmemory', '0');
    await until('the node reconnects', () => node.log.some(({ event }) => event === 'busDead'));
    expect((await node.readiness()).reason).not.toContain('out of memory');
    await admin.config('SET', 'min-replicas-to-write', '0');
    await untilReady(cluster, true);
    await admin.quit();
  });

  it('still serves topics of level fast', async () => {
    await using cluster = await startCluster({ nodes: 2, env: { ...probeEnv, ...fastTopics } });
    const admin = new Redis(cluster.redis.url);
    const reader = await cluster.subscriber('t', 1);
    const writer = await cluster.connect();
    await admin.config('SET', 'maxmemory', '1');
    await untilReady(cluster, false);
    await until('the node logs it', () =>
      cluster.node().log.some(({ msg }) => msg.includes('Topics of level fast still work. /readyz returns 503.')),
    );
    expect(await writer.publish('t', 1)).toMatchObject({ type: 'published' });
    expect(await reader.take('t', 1)).toEqual([1]);
    await admin.quit();
  });
});
