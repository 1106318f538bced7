/** No silent loss: what subscribers of topics with history receive when nodes and Redis fail. */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { FaultProxy, type RedisProcess, startRedis } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { maxHistories } from '../src/handlers/history.js';
import { shortTimes, startCluster, startNode, type TestCluster, untilForgotten } from './harness.js';
import { nameInRedis } from './redis-names.js';
import { TestConnection } from './test-connection.js';
import { until } from './wait.js';

const env = { FANFARE_REDIS_TIMEOUT_MS: '1000', FANFARE_PROBE_INTERVAL_MS: '500' };

/**
 * Publishes the next numbers to a topic. It retries each until it is accepted, like a client, with the same messageId.
 */
class Publisher {
  readonly accepted: number[] = [];
  readonly #connection: TestConnection;
  readonly #topic: string;
  #next = 1;
  #isOver = false;
  #running: Promise<void> | null = null;

  constructor(connection: TestConnection, topic: string) {
    this.#connection = connection;
    this.#topic = topic;
  }

  async publish(count: number): Promise<void> {
    for (let left = count; left > 0; left--) await this.#publishOne();
  }

  /**
   * Continues until {@link stop}, at most 300 times a second. At full speed, the publishers would take most of the time
   * of this test file.
   */
  start(): void {
    this.#running = (async () => {
      for (; !this.#isOver; await delay(3)) await this.#publishOne();
    })();
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async #publishOne(): Promise<void> {
    const number = this.#next++;
    const messageId = `publisher-${number}`;
    for (;;) {
      const reply = await this.#connection.request({ type: 'publish', topic: this.#topic, data: number, messageId });
      if (reply.type === 'published') {
        this.accepted.push(number);
        return;
      }
      if (reply.type === 'error' && !reply.retryable) throw new Error(reply.message);
      await delay(10);
    }
  }
}

/** Everything that a connection has received of a topic: the numbers, and gaps and resets between them. */
function received(reader: TestConnection): (number | string)[] {
  return reader.inbox.waiting.flatMap((message): (number | string)[] => {
    if (message.type === 'publications')
      return message.items.map((item) => ('data' in item ? (item.data as number) : -1));
    return message.type === 'gap' || message.type === 'reset' ? [message.type] : [];
  });
}

/** Checks that the offsets are contiguous, in the order of arrival. */
function expectContiguous(reader: TestConnection): void {
  let next: number | null = null;
  for (const message of reader.inbox.waiting) {
    if (message.type !== 'publications' || message.position === null) continue;
    if (next !== null) expect(message.position.offset).toBe(next);
    next = message.position.offset + message.items.length;
  }
}

async function untilReceived(reader: TestConnection, number: number): Promise<void> {
  await until(`number ${number} has arrived`, () => received(reader).includes(number));
}

async function untilReady(cluster: TestCluster, status = 200): Promise<void> {
  for (const node of cluster.nodes) {
    await until(`/readyz is ${status}`, async () => (await node.readiness()).status === status);
  }
}

function numbers(last: number): number[] {
  return Array.from({ length: last }, (_, index) => index + 1);
}

/**
 * Runs `fault` while a client publishes numbers at one node, and subscribers at both nodes read them. Expects that each
 * subscriber gets each number once, in order, and only these notices.
 */
async function expectNothingLost(
  cluster: TestCluster,
  fault: () => Promise<void>,
  notices: string[] = [],
): Promise<void> {
  for (const node of cluster.nodes) {
    await until('the node knows the others', async () => (await node.metric('fanfare_nodes')) === cluster.nodes.length);
  }
  const readers = [await cluster.subscriber('t', 0), await cluster.subscriber('t', 1, 'json')];
  const publisher = new Publisher(await cluster.connect(), 't');
  publisher.start();
  await until('publications are accepted', () => publisher.accepted.length > 50);
  await fault();
  await untilReady(cluster);
  const before = publisher.accepted.length;
  await until('publications are accepted again', () => publisher.accepted.length > before + 50);
  await publisher.stop();
  const last = publisher.accepted.at(-1) ?? 0;
  for (const reader of readers) {
    await untilReceived(reader, last);
    expect(received(reader).filter((each) => typeof each === 'string')).toEqual(notices);
    expect(received(reader).filter((each) => typeof each === 'number')).toEqual(numbers(last));
    if (notices.length === 0) expectContiguous(reader);
  }
}

describe('a subscriber of a topic with history', () => {
  it('reconnects to another node and receives the publications that it missed, each once', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    const reader = await cluster.subscriber('t', 0);
    const publisher = new Publisher(await cluster.connect(), 't');
    await publisher.publish(3);
    await untilReceived(reader, 3);
    const last = reader.inbox.waiting.findLast((message) => message.type === 'publications');
    const since = last?.type === 'publications' ? last.position : null;
    await reader.close();
    await publisher.publish(3);
    const back = await cluster.connect(1);
    const reply = await back.request({ type: 'subscribe', topic: 't', since });
    expect(reply).toMatchObject({
      type: 'subscribed',
      recovered: true,
      position: { offset: 6 },
      publications: [{ data: 4 }, { data: 5 }, { data: 6 }],
    });
    await publisher.publish(1);
    expect(await back.next('publications')).toMatchObject({ position: { offset: 7 }, items: [{ data: 7 }] });
  });

  it('misses nothing between the reply and the first push, however busy the topic is', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    const publishers = await Promise.all(
      [0, 1].map(async (node) => new Publisher(await cluster.connect(node), `t.${node}`)),
    );
    const busy = await Promise.all([0, 1, 0, 1].map((node) => cluster.connect(node)));
    let isOver = false;
    const load = busy.map(async (connection, index) => {
      for (let number = 0; !isOver; number++) await connection.publish('t', `${index}.${number}`);
    });
    for (let round = 0; round < 30; round++) {
      const reader = await cluster.connect(round % 2);
      const reply = await reader.subscribe('t');
      const push = await reader.next('publications');
      const position = reply.type === 'subscribed' ? reply.position : null;
      expect(push.position).toEqual({ epoch: position?.epoch, offset: (position?.offset ?? 0) + 1 });
      await reader.close();
    }
    isOver = true;
    await Promise.all(load);
    expect(publishers.length).toBe(2);
  });

  it('gets "recovered: false" if the history is too short, and can read the existing publications in pages', async () => {
    await using cluster = await startCluster({
      nodes: 2,
      env: { ...env, FANFARE_TOPICS: '{"t":{"historySize":5}}' },
    });
    const publisher = new Publisher(await cluster.connect(), 't');
    await publisher.publish(700);
    const reader = await cluster.connect(1);
    const first = await reader.subscribe('t');
    const epoch = first.type === 'subscribed' ? (first.position?.epoch ?? '') : '';
    await reader.unsubscribe('t');
    const reply = await reader.request({ type: 'subscribe', topic: 't', since: { epoch, offset: 1 } });
    expect(reply).toMatchObject({ recovered: false, position: { epoch, offset: 700 }, publications: [] });
    const page = await reader.request({
      type: 'history',
      topic: 't',
      since: { epoch, offset: 1 },
      limit: 1_000,
      direction: null,
    });
    expect(page).toMatchObject({ type: 'history', recovered: false });
    if (page.type === 'history') expect((page.first ?? 0) + page.publications.length - 1).toBe(700);
  });

  it('is not closed because of the amount of missed data if it resubscribes to thousands of topics at once', async () => {
    await using cluster = await startCluster({
      nodes: 1,
      redis: true,
      env: { ...env, FANFARE_MAX_BUFFERED_BYTES: '65536' },
    });
    const topics = Array.from({ length: 40 }, (_, index) => `t.${index}`);
    const reader = await cluster.connect();
    const writer = await cluster.connect();
    const since = new Map<string, { epoch: string; offset: number } | null>();
    for (const topic of topics) {
      const reply = await reader.subscribe(topic);
      since.set(topic, reply.type === 'subscribed' ? reply.position : null);
    }
    await reader.close();
    for (const topic of topics) await writer.publish(topic, 'x'.repeat(10_000));
    const back = await cluster.connect();
    const commands = topics.map(
      (topic, index) => ({ type: 'subscribe', id: index + 1, topic, since: since.get(topic) ?? null }) as const,
    );
    back.send(...commands);
    let recovered = 0;
    for (const _ of topics) if ((await back.next('subscribed')).recovered) recovered++;
    expect(recovered).toBeGreaterThan(0);
    await back.settle();
    expect(back.socket.readyState).toBe(back.socket.OPEN);
  });
});

describe('a subscriber that reconnects', () => {
  it.each([
    ['msgpack', true],
    ['json', false],
  ] as const)('gets missed publications only if they fit in its own encoding: %s', async (encoding, recovered) => {
    await using cluster = await startCluster({ nodes: 1, env: { FANFARE_MAX_BUFFERED_BYTES: '65536' } });
    // As JSON, the publication is six times as long. An answer may use half the limit, so it does not fit.
    const published = await (await cluster.connect()).publish('t', '\u0001'.repeat(10_000));
    const epoch = published.type === 'published' ? (published.position?.epoch ?? '') : '';
    const back = await cluster.connect(0, encoding);
    const reply = await back.request({ type: 'subscribe', topic: 't', since: { epoch, offset: 0 } });
    expect(reply).toMatchObject({ recovered, publications: { length: recovered ? 1 : 0 }, position: { offset: 1 } });
    // A `history` returns the publication anyway: it always returns at least one.
    const history = { type: 'history', topic: 't', since: null, limit: null, direction: null } as const;
    expect(await back.request(history)).toMatchObject({ publications: { length: 1 } });
  });
});

describe('a client that requests large amounts of history at once', () => {
  it('gets an error for requests that would fill its connection, and gets the history after it has read', async () => {
    await using cluster = await startCluster({
      nodes: 1,
      redis: true,
      env: { FANFARE_MAX_BUFFERED_BYTES: '65536' },
    });
    const writer = await cluster.connect();
    for (let number = 0; number < 50; number++) await writer.publish('t', 'x'.repeat(1_000));
    const greedy = await cluster.connect();
    const request = { type: 'history', topic: 't', since: null, limit: 50, direction: null } as const;
    greedy.send(...Array.from({ length: 20 }, (_, index) => ({ ...request, id: 1_000 + index })));
    const answers = [];
    while (answers.length < 20)
      answers.push(await greedy.inbox.take('an answer', ({ type }) => type === 'history' || type === 'error'));
    expect(answers.some(({ type }) => type === 'history')).toBe(true);
    expect(answers.filter(({ type }) => type === 'error')).toContainEqual(
      expect.objectContaining({ code: 'overloaded', retryable: true }),
    );
    expect(await greedy.request(request)).toMatchObject({ type: 'history', first: 1 });
  });

  it.each([
    ['plain text', 'x'],
    ['text that is six times as long in JSON', '\u0001'],
  ])('gets errors instead of being closed if it speaks JSON and does not read: %s', async (_, character) => {
    await using cluster = await startCluster({ nodes: 1 });
    const writer = await cluster.connect();
    for (let number = 0; number < 4; number++) await writer.publish('t', character.repeat(60_000));
    const greedy = await cluster.connect(0, 'json');
    await greedy.settle();
    greedy.socket.pause();
    const request = { type: 'history', topic: 't', since: null, limit: 100, direction: null } as const;
    const asked = 80;
    for (let index = 0; index < asked; index++) greedy.send({ ...request, id: 1_000 + index });
    // If the connection is full, one more frame closes it.
    for (let index = 0; index < 20; index++) greedy.send({ type: 'ping', id: 2_000 + index });
    await until(
      'all requests have replies',
      async () => (await cluster.node(0).metric('fanfare_frames_in_total')) >= 100,
    );
    greedy.socket.resume();
    const types: string[] = [];
    while (types.length < asked) {
      types.push((await greedy.inbox.take('an answer', ({ type }) => type === 'history' || type === 'error')).type);
    }
    expect(types).toContain('history');
    expect(types).toContain('error');
    expect(await cluster.node(0).metric('fanfare_slow_subscribers_total')).toBe(0);
  });

  it('has at most eight reads at the same time', async () => {
    await using cluster = await startCluster({ nodes: 1, redis: true, env: { FANFARE_REDIS_TIMEOUT_MS: '10000' } });
    const greedy = await cluster.connect();
    const request = { type: 'history', topic: 't', since: null, limit: 1, direction: null } as const;
    await cluster.redis.pause();
    greedy.send(...Array.from({ length: maxHistories + 1 }, (_, index) => ({ ...request, id: 101 + index })));
    expect(await greedy.next('error')).toMatchObject({ id: 101 + maxHistories, code: 'overloaded', retryable: true });
    await cluster.redis.resume();
    for (let answers = 0; answers < maxHistories; answers++) await greedy.next('history');
    expect(await greedy.request(request)).toMatchObject({ type: 'history' });
    const protocol = readFileSync(new URL('../../protocol/PROTOCOL.md', import.meta.url), 'utf8');
    expect(protocol).toMatch(
      new RegExp(
        `^\\| \`history\` commands of a connection that are unanswered \\| ${maxHistories} +\\| \`overloaded\``,
        'm',
      ),
    );
  });
});

describe('clients that reconnect to one topic at the same time', () => {
  it('cost Redis one read', async () => {
    await using cluster = await startCluster({ nodes: 2, env: { FANFARE_PROBE_INTERVAL_MS: '60000' } });
    const reader = await cluster.subscriber('t', 0);
    const publisher = new Publisher(await cluster.connect(), 't');
    await publisher.publish(20);
    await untilReceived(reader, 20);
    const epoch = (await reader.next('publications')).position?.epoch ?? '';
    const calls = async (): Promise<number> => cluster.node(1).metric('fanfare_redis_script_calls_total');
    const before = await calls();
    const back = await Promise.all(Array.from({ length: 200 }, () => cluster.connect(1)));
    const replies = await Promise.all(
      back.map((each, index) => each.request({ type: 'subscribe', topic: 't', since: { epoch, offset: index % 20 } })),
    );
    for (const [index, reply] of replies.entries()) {
      expect(reply).toMatchObject({ recovered: true, position: { epoch, offset: 20 } });
      if (reply.type === 'subscribed') expect(reply.publications.length).toBe(20 - (index % 20));
    }
    // One call for the head of the topic and one for its history. The others are heartbeats, one a second: more on a
    // busy machine.
    expect((await calls()) - before).toBeLessThan(100);
  });
});

// This suite and the next one run at the same time, because their tests spend most of their time waiting.
describe.concurrent('a subscriber loses nothing, receives nothing twice and gets no notice', () => {
  it.sequential('when the subscribing connections of nodes are killed repeatedly', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    const admin = new Redis(cluster.redisUrl);
    await expectNothingLost(cluster, async () => {
      for (let round = 0; round < 5; round++) {
        const lost = await cluster.node().metric('fanfare_redis_reconnects_total');
        await admin.client('KILL', 'TYPE', 'pubsub');
        await until(
          'each node has noticed it',
          async () => (await cluster.node().metric('fanfare_redis_reconnects_total')) > lost,
        );
        await untilReady(cluster);
      }
    });
    await admin.quit();
  });

  it.sequential('when the publishing connections of nodes are killed', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    const admin = new Redis(cluster.redisUrl);
    await expectNothingLost(cluster, async () => {
      await admin.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    });
    await admin.quit();
  });

  it.sequential('when Redis restarts with its data on disk, and its epoch stays', async () => {
    await using redis = await startRedis({ args: ['--appendonly', 'yes'] });
    await using cluster = await startCluster({ nodes: 2, redis, env });
    await expectNothingLost(cluster, async () => {
      await redis.kill();
      await untilReady(cluster, 503);
      await redis.restart();
    });
  });

  it.sequential('when Redis restarts empty, and nodes restore its data', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    await expectNothingLost(cluster, async () => {
      await cluster.redis.kill();
      await untilReady(cluster, 503);
      await cluster.redis.restart();
    });
    expect(await cluster.node().metric('fanfare_recoveries_total')).toBe(1);
  });

  it('when Redis returns empty after such a long time that the nodes reconnect one after the other', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    await expectNothingLost(cluster, async () => {
      const killedAt = performance.now();
      await cluster.redis.kill();
      await untilReady(cluster, 503);
      await until('the pauses between attempts are at their longest', () => performance.now() - killedAt > 3_000);
      await cluster.redis.restart();
    });
  });

  it('when Redis restarts empty, and the only node with the publication knows it from the answer "already published"', async () => {
    await using redis = await startRedis();
    const publication = { type: 'publish', topic: 't', data: 1, messageId: 'm1' } as const;
    const first = await startNode({ FANFARE_REDIS_URL: redis.url, ...env });
    await until('the node is ready', async () => (await first.readiness()).status === 200);
    const published = await (await TestConnection.open(first.url)).request(publication);
    await first.broker.drain();
    await using cluster = await startCluster({ redis, env });
    const node = cluster.node();
    await until('the first node has been forgotten', async () => (await node.metric('fanfare_nodes')) === 1);
    const connection = await cluster.connect();
    expect(await connection.request(publication)).toMatchObject({
      type: 'published',
      position: published.type === 'published' ? published.position : null,
    });
    // In one frame, so in one run: a known publication and a new one.
    const more = { ...publication, data: 2, messageId: 'm2' };
    connection.send({ ...publication, id: 1_001 }, { ...more, id: 1_002 });
    await connection.inbox.take(
      'the second publication is acknowledged',
      (message) => 'id' in message && message.id === 1_002,
    );
    await redis.kill();
    await untilReady(cluster, 503);
    await redis.restart();
    await untilReady(cluster);
    const asked = { type: 'history', topic: 't', since: null, limit: null, direction: null } as const;
    expect(await connection.request(asked)).toMatchObject({
      position: published.type === 'published' && { ...published.position, offset: 2 },
      publications: [{ data: 1 }, { data: 2 }],
    });
    expect(await connection.request(publication)).toMatchObject({ position: { offset: 1 } });
    expect(await connection.request(more)).toMatchObject({ position: { offset: 2 } });
  });

  it.sequential('when all data of Redis is deleted', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    const admin = new Redis(cluster.redisUrl);
    await expectNothingLost(cluster, async () => {
      await admin.flushall();
      await until(
        'each node has noticed it',
        async () => (await cluster.node().metric('fanfare_recoveries_total')) >= 1,
      );
    });
    await admin.quit();
  });

  it.sequential('when all data of Redis is deleted repeatedly, even while nodes restore it', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    const admin = new Redis(cluster.redisUrl);
    await expectNothingLost(cluster, async () => {
      for (let round = 0; round < 20; round++) {
        await admin.flushall();
        await new Promise((resolve) => setTimeout(resolve, 10 + round * 10));
      }
    });
    await admin.quit();
  });

  it.sequential('when Redis restarts empty twice in a row', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    await expectNothingLost(cluster, async () => {
      await cluster.redis.kill();
      await cluster.redis.restart();
      await cluster.redis.kill();
      await cluster.redis.restart();
    });
  });

  it.sequential('when another program writes garbage to every channel and deletes the keys of Fanfare', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    const admin = new Redis(cluster.redisUrl);
    await expectNothingLost(cluster, async () => {
      const channels = (await admin.pubsub('CHANNELS', 'fanfare:*')) as string[];
      for (let round = 0; round < 50; round++) {
        for (const channel of channels) await admin.spublish(channel, Buffer.from([round, 0x20, 0xff, 0x31, 0x2d]));
        await admin.spublish('fanfare:control', 'nobody');
      }
      await admin.del('fanfare:generation', 'fanfare:run', 'fanfare:nodes');
      await until(
        'each node has noticed it',
        async () => (await cluster.node().metric('fanfare_recoveries_total')) >= 1,
      );
      await admin.del(`${nameInRedis('t')}:ids`, `${nameInRedis('t')}:ids:old`);
    });
    await admin.quit();
  });

  it.sequential('when the scripts are flushed', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    const admin = new Redis(cluster.redisUrl);
    await expectNothingLost(cluster, async () => {
      await admin.script('FLUSH');
    });
    await admin.quit();
  });

  it.sequential('when Redis is paused', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    await expectNothingLost(cluster, async () => {
      await cluster.redis.pause();
      await untilReady(cluster, 503);
      await cluster.redis.resume();
    });
  });

  it.sequential('when Redis is demoted to a replica for a while', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    const admin = new Redis(cluster.redis.url);
    await expectNothingLost(cluster, async () => {
      await admin.replicaof('127.0.0.1', 1);
      await untilReady(cluster, 503);
      await admin.replicaof('NO', 'ONE');
    });
    await admin.quit();
  });

  it.sequential('when Redis becomes a master again after it was a replica with older data', async () => {
    const atOnce = ['--repl-diskless-sync-delay', '0'];
    await using older = await startRedis({ args: atOnce });
    await using redis = await startRedis({ args: atOnce });
    await using cluster = await startCluster({ nodes: 2, redis, env: { ...env, FANFARE_REDIS_URL: redis.url } });
    const [admin, other] = [new Redis(cluster.redis.url), new Redis(older.url)];
    const isOnline = async (): Promise<boolean> => (await other.info('replication')).includes('master_link_status:up');
    await other.replicaof('127.0.0.1', cluster.redis.port);
    await expectNothingLost(cluster, async () => {
      await until('the replica is connected', isOnline);
      await other.replicaof('NO', 'ONE');
      const { length } = await admin.xrange(nameInRedis('t'), '-', '+');
      await until(
        'the replica is behind',
        async () => (await admin.xrange(nameInRedis('t'), '-', '+')).length > length + 20,
      );
      await admin.replicaof('127.0.0.1', older.port);
      await until('Redis has loaded the older data', async () =>
        (await admin.info('replication')).includes('master_link_status:up'),
      );
      await admin.replicaof('NO', 'ONE');
    });
    await Promise.all([admin.quit(), other.quit()]);
  });

  it.sequential('when Redis becomes a master again after it was a replica with older data, and nobody published meanwhile', async () => {
    const atOnce = ['--repl-diskless-sync-delay', '0'];
    await using older = await startRedis({ args: atOnce });
    await using redis = await startRedis({ args: atOnce });
    await using cluster = await startCluster({ nodes: 2, redis, env: { ...env, FANFARE_REDIS_URL: redis.url } });
    const [admin, other] = [new Redis(redis.url), new Redis(older.url)];
    const isUp = async (replica: Redis): Promise<boolean> =>
      (await replica.info('replication')).includes('master_link_status:up');
    const reader = await cluster.subscriber('t');
    const publisher = new Publisher(await cluster.connect(), 't');
    await publisher.publish(1);
    await other.replicaof('127.0.0.1', redis.port);
    await until('the replica is connected', () => isUp(other));
    await other.replicaof('NO', 'ONE');
    await publisher.publish(2);
    expect(await reader.take('t', 3)).toEqual([1, 2, 3]);
    const name = await admin.get('fanfare:generation');
    await admin.replicaof('127.0.0.1', older.port);
    await until('Redis has loaded the older data', () => isUp(admin));
    await admin.replicaof('NO', 'ONE');
    await until('the nodes have noticed', async () => (await admin.get('fanfare:generation')) !== name);
    await until('the nodes are ready', async () => (await cluster.node(0).readiness()).status === 200);
    await publisher.publish(1);
    expect(await reader.take('t', 1)).toEqual([4]);
    await Promise.all([admin.quit(), other.quit()]);
  });

  it.sequential.each(['blackhole', 'deaf', 'mute'] as const)(
    'when the network between a node and Redis fails silently (%s)',
    async (fault) => {
      await using redis: RedisProcess = await startRedis();
      await using proxy = await FaultProxy.start({ targetPort: redis.port });
      const node = { FANFARE_REDIS_URL: redis.url, ...env };
      await using cluster = await startCluster({
        nodes: 2,
        redis,
        envOf: (index) => (index === 1 ? { ...node, FANFARE_REDIS_URL: `redis://127.0.0.1:${proxy.port}` } : node),
      });
      await expectNothingLost(cluster, async () => {
        if (fault === 'blackhole') proxy.blackhole();
        else proxy.block(fault === 'deaf' ? 'toClient' : 'toTarget');
        await until('/readyz is 503', async () => (await cluster.node(1).readiness()).status === 503);
        await proxy.heal();
      });
    },
  );
});

// Concurrent: they mostly wait until no node remembers the publications.
describe.concurrent('the loss of data in Redis that no node can restore', () => {
  it('is reported to clients that reconnect, but not to clients that stayed, which have everything', async () => {
    await using cluster = await startCluster({
      nodes: 2,
      env: { ...env, FANFARE_RECENT_BYTES: '0' },
      times: shortTimes,
    });
    const readers = [await cluster.subscriber('t', 0), await cluster.subscriber('t', 1)];
    const publisher = new Publisher(await cluster.connect(), 't');
    await publisher.publish(5);
    for (const reader of readers) await untilReceived(reader, 5);
    const [first] = readers[0]?.inbox.waiting.flatMap((push) => (push.type === 'publications' ? push : [])) ?? [];
    const admin = new Redis(cluster.redisUrl);
    await untilForgotten(admin);
    await admin.flushall();
    for (const node of cluster.nodes) {
      await until('each node has noticed it', async () => (await node.metric('fanfare_recoveries_total')) >= 1);
    }
    await publisher.publish(3);
    for (const reader of readers) {
      await untilReceived(reader, 8);
      expect(received(reader)).toEqual(numbers(8));
      expectContiguous(reader);
    }
    const back = await cluster.connect(1);
    const since = first?.position ?? null;
    expect(await back.request({ type: 'subscribe', topic: 't', since })).toMatchObject({ recovered: false });
    await admin.quit();
  });

  it('causes a reset if Redis returns with an older state', async () => {
    await using cluster = await startCluster({
      nodes: 2,
      env: { ...env, FANFARE_RECENT_BYTES: '0' },
      times: shortTimes,
    });
    const publisher = new Publisher(await cluster.connect(1), 't');
    const admin = new Redis(cluster.redis.url);
    admin.on('error', () => undefined);
    await publisher.publish(5);
    await admin.save();
    await publisher.publish(5);
    await untilForgotten(admin);
    const reader = await cluster.subscriber('t', 0);
    await cluster.redis.kill();
    await untilReady(cluster, 503);
    await cluster.redis.restart();
    await untilReady(cluster);
    // As many publications as were lost, so they get offsets that the subscriber's node has already seen.
    await publisher.publish(5);
    await reader.next('reset');
    await publisher.publish(1);
    await untilReceived(reader, 16);
    admin.disconnect();
  });

  it('causes a reset if one node published to a replaced master after the others had moved to the new one', async () => {
    await using master = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
    await using replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${master.port}`] });
    const [admin, next] = [new Redis(master.url), new Redis(replica.url)];
    await until('the replica is connected', async () => (await admin.info('replication')).includes('state=online'));
    await using wayOfWriter = await FaultProxy.start({ targetPort: master.port });
    await using wayOfReader = await FaultProxy.start({ targetPort: master.port });
    await using cluster = await startCluster({
      nodes: 2,
      redis: false,
      env,
      envOf: (index) => ({ FANFARE_REDIS_URL: `redis://${(index === 0 ? wayOfWriter : wayOfReader).address}` }),
    });
    for (const node of cluster.nodes)
      await until('the node knows the other one', async () => (await node.metric('fanfare_nodes')) === 2);
    const reader = await cluster.subscriber('t', 1);
    const publisher = new Publisher(await cluster.connect(0), 't');
    await publisher.publish(5);
    await untilReceived(reader, 5);
    await admin.call('WAIT', '1', '0');

    await next.replicaof('NO', 'ONE');
    wayOfReader.retarget(replica.port);
    wayOfReader.reset();
    await until(
      "the reader's node continues without the writer's node",
      async () => (await cluster.node(1).metric('fanfare_recoveries_total')) >= 1,
    );
    await reader.next('reset');
    await publisher.publish(1);
    wayOfWriter.retarget(replica.port);
    wayOfWriter.reset();
    await until(
      "the writer's node has connected",
      async () => (await cluster.node(0).metric('fanfare_recoveries_total')) >= 1,
    );
    // The old master acknowledged number 6, but no subscriber will ever receive it. Number 7 reveals the loss.
    await publisher.publish(1);
    await reader.next('reset');
    await publisher.publish(1);
    await untilReceived(reader, 8);
    await Promise.all([admin.quit(), next.quit()]);
  });

  it('is reported to clients that reconnect to a topic without subscribers, if Redis returns with an older state', async () => {
    await using cluster = await startCluster({ nodes: 2, env, times: shortTimes });
    const publisher = new Publisher(await cluster.connect(1), 't');
    const admin = new Redis(cluster.redis.url);
    admin.on('error', () => undefined);
    await publisher.publish(5);
    const asked = { type: 'history', topic: 't', since: null, limit: null, direction: null } as const;
    const page = await (await cluster.connect(0)).request(asked);
    const since = page.type === 'history' ? page.position : null;
    expect(since).toMatchObject({ offset: 5 });
    await admin.save();
    await publisher.publish(5);
    await untilForgotten(admin);
    await cluster.redis.kill();
    await untilReady(cluster, 503);
    await cluster.redis.restart();
    await untilReady(cluster);
    const answer = await (await cluster.connect(0)).request({ type: 'subscribe', topic: 't', since });
    expect(answer).toMatchObject({ recovered: false });
    admin.disconnect();
  });

  it.each([
    ['with nothing', [], []],
    ['with its data, but without a node that can verify it', ['--appendonly', 'yes'], [1]],
  ] as const)(
    'is reported to clients that reconnect after Redis and all nodes were restarted (%s)',
    async (_, args, left) => {
      await using redis = await startRedis({ args });
      const one = await startNode({ FANFARE_REDIS_URL: redis.url, ...env });
      await until('the node is ready', async () => (await one.readiness()).status === 200);
      const reader = await TestConnection.open(one.url);
      const reply = await reader.subscribe('t');
      const since = reply.type === 'subscribed' ? reply.position : null;
      await new Publisher(reader, 't').publish(1);
      await reader.close();
      await one.broker.drain({ atOnce: true });
      await redis.restart();
      const two = await startNode({ FANFARE_REDIS_URL: redis.url, ...env });
      await until('the node is ready', async () => (await two.readiness()).status === 200);
      await using back = await TestConnection.open(two.url);
      const again = await back.request({ type: 'subscribe', topic: 't', since });
      expect(again).toMatchObject({ recovered: false, publications: [] });
      if (again.type === 'subscribed') expect(again.position?.epoch).not.toBe(since?.epoch);
      const page = await back.request({ type: 'history', topic: 't', since: null, limit: null, direction: null });
      expect(page).toMatchObject({ publications: left.map((data) => ({ data })) });
      await back.close();
      await two.broker.drain({ atOnce: true });
    },
  );
});
