/** Partitions move between shards while clients publish and subscribe, and nobody notices. */
import { readFileSync } from 'node:fs';
import { type RedisProcess, type RedisShards, startNode, startRedisShards, startReplica } from '@fanfare/local-cluster';
import type { ServerMessage, Topic } from '@fanfare/protocol';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../src/index.js';
import { Partitions } from '../src/relay/partitions.js';
import {
  firstMap,
  formatMap,
  type MoveStep,
  mapOfOne,
  type PlannedMove,
  type ShardMap,
} from '../src/relay/shard-map.js';
import { type OpenShards, openShards } from '../src/shards/open-shards.js';
import { ShardsError } from '../src/shards/shard-link.js';
import type { Progress } from '../src/shards/shards.js';
import { shortTimes, startCluster, type TestCluster, untilForgotten } from './harness.js';
import { TestConnection } from './test-connection.js';
import { until } from './wait.js';

const partitions = new Partitions(16);
const env = {
  FANFARE_REDIS_PARTITIONS: '16',
  FANFARE_TOPICS: JSON.stringify({
    'fast.>': { level: 'fast' },
    'durable.>': { level: 'durable' },
    '>': { level: 'recoverable' },
  }),
};

let redisShards: RedisShards;
let servers: readonly RedisProcess[];

beforeAll(async () => {
  redisShards = await startRedisShards(3);
  servers = redisShards.servers;
});

afterAll(async () => {
  await redisShards?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  for (const server of servers) {
    const redis = new Redis(server.url);
    await redis.flushall();
    redis.disconnect();
  }
});

function nameOf(index: number): string {
  return `127.0.0.1:${servers[index]?.port}`;
}

/** The first `count` shards. */
function urlOf(count: number): string {
  return `redis+shards://${servers
    .slice(0, count)
    .map(({ port }) => `127.0.0.1:${port}`)
    .join(';')}`;
}

function open(count: number, progress: Progress = {}): Promise<OpenShards> {
  const config = loadConfig({ FANFARE_REDIS_URL: urlOf(count), FANFARE_REDIS_TIMEOUT_MS: '5000' });
  return openShards({ ...config, redisUrl: urlOf(count) }, progress);
}

/** A partition of a shard, and its move to another one. */
function moveOf(map: ShardMap, from: number, to: number): PlannedMove {
  return { partition: map.shards.lastIndexOf(nameOf(from)), from: nameOf(from), to: nameOf(to) };
}

/** A command that dies in a step: what it has done stays, and its lock too. */
async function dieIn(step: MoveStep, move: PlannedMove, count = 2): Promise<void> {
  const onStep = (_partition: number, current: MoveStep): void => {
    if (current === step) throw new Error('killed');
  };
  await using opened = await open(count, { onStep });
  await opened.shards.lock();
  await expect(opened.shards.carryOut([move])).rejects.toThrow('killed');
}

async function forgetLock(): Promise<void> {
  for (const server of servers) {
    const redis = new Redis(server.url);
    await redis.del('fanfare:map:lock').catch(() => undefined);
    redis.disconnect();
  }
}

/** A topic of a partition. */
function topicIn(partition: number, prefix = 't'): string {
  for (let number = 0; ; number++) {
    const topic = `${prefix}.${number}`;
    if (partitions.of(topic as Topic) === partition) return topic;
  }
}

/** Publishes 1, 2, 3, … one after the other, like a client: again if the node is unavailable. */
class Publisher {
  readonly #ended: Promise<void>;
  #isStopping = false;
  count = 0;
  refused = 0;

  constructor(
    connection: TestConnection,
    readonly topic: string,
  ) {
    this.#ended = this.#run(connection);
  }

  async stop(): Promise<number> {
    this.#isStopping = true;
    await this.#ended;
    return this.count;
  }

  async #run(connection: TestConnection): Promise<void> {
    while (!this.#isStopping) {
      for (;;) {
        const reply = await connection.publish(this.topic, this.count + 1);
        if (reply.type === 'published') break;
        if (reply.type !== 'error' || reply.code !== 'unavailable') throw new Error(JSON.stringify(reply));
        this.refused++;
      }
      this.count++;
    }
  }
}

function sequence(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

function lossesIn({ inbox }: TestConnection): readonly ServerMessage[] {
  return inbox.waiting.filter(({ type }) => type === 'gap' || type === 'reset');
}

interface Traffic {
  readonly publishers: readonly Publisher[];
  readonly readers: readonly (readonly [TestConnection, string])[];
}

async function startTraffic(cluster: TestCluster, topics: readonly string[]): Promise<Traffic> {
  const publishers: Publisher[] = [];
  const readers: (readonly [TestConnection, string])[] = [];
  for (const [index, topic] of topics.entries()) {
    for (const node of cluster.nodes.keys()) readers.push([await cluster.subscriber(topic, node), topic]);
    publishers.push(new Publisher(await cluster.connect(index % cluster.nodes.length), topic));
  }
  await until('all publish', () => publishers.every(({ count }) => count > 20));
  return { publishers, readers };
}

/** Everything that was published has arrived everywhere once, in order, and nothing else. */
async function expectAll({ publishers, readers }: Traffic): Promise<void> {
  const counts = new Map<string, number>();
  for (const publisher of publishers) counts.set(publisher.topic, await publisher.stop());
  for (const [reader, topic] of readers) {
    const count = counts.get(topic) as number;
    expect(await reader.take(topic, count), topic).toEqual(sequence(count));
    expect(lossesIn(reader), topic).toEqual([]);
  }
}

describe('a partition that moves while clients publish', () => {
  it('loses, repeats and reorders nothing at any level, and nobody gets a gap or a reset', async () => {
    await using one = await startReplica(servers[0]?.port ?? 0);
    await using other = await startReplica(servers[1]?.port ?? 0);
    expect(other.port).not.toBe(one.port);
    await using cluster = await startCluster({ nodes: 2, redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
    await using opened = await open(2);
    const { shards } = opened;
    const map = await shards.lock();
    const there = moveOf(map, 0, 1);
    const { partition } = there;
    const others = [map.shards.indexOf(nameOf(0)), map.shards.indexOf(nameOf(1))];
    const traffic = await startTraffic(cluster, [
      ...['t', 'fast', 'durable'].map((prefix) => topicIn(partition, prefix)),
      ...others.map((other) => topicIn(other)),
    ]);
    for (const move of [there, { partition, from: nameOf(1), to: nameOf(0) }]) {
      await shards.carryOut([move]);
      const before = traffic.publishers.map(({ count }) => count);
      await until('all publish again', () =>
        traffic.publishers.every(({ count }, at) => count > (before[at] as number) + 10),
      );
    }
    await expectAll(traffic);
    // Publications to the partition may wait for long on a busy machine; the others never do.
    for (const { topic, refused } of traffic.publishers)
      expect([topic, refused === 0 || partitions.of(topic as Topic) === partition]).toEqual([topic, true]);
    await shards.unlock();
  });

  it('keeps its history, its positions and its messageIds, and leaves nothing behind', async () => {
    await using cluster = await startCluster({ nodes: 2, redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
    await using opened = await open(2);
    const move = moveOf(await opened.shards.lock(), 0, 1);
    const topic = topicIn(move.partition) as Topic;
    const idle = topicIn(move.partition, 'idle');
    const reader = await cluster.subscriber(idle);
    const connection = await cluster.connect();
    const publish = (node: TestConnection, data: number) =>
      node.requestServed({ type: 'publish', topic, data, messageId: `m${data}` });
    const first = await publish(connection, 1);
    const last = await publish(connection, 2);
    if (first.type !== 'published' || first.position === null) throw new Error('Not published.');
    await opened.shards.carryOut([move]);
    const other = await cluster.connect(1);
    expect(await publish(other, 2)).toMatchObject({ type: 'published', position: 'position' in last && last.position });
    expect(await publish(other, 3)).toMatchObject({ position: { ...first.position, offset: 3 } });
    const back = await other.request({ type: 'subscribe', topic, since: first.position });
    expect(back).toMatchObject({ type: 'subscribed', recovered: true, position: { offset: 3 } });
    await connection.publish(idle, 'after');
    expect(await reader.take(idle, 1)).toEqual(['after']);
    expect(lossesIn(reader)).toEqual([]);
    const [old, present] = servers.slice(0, 2).map(({ url }) => new Redis(url)) as [Redis, Redis];
    const pattern = `fanfare:{${partitions.tagOf(move.partition)}}:*`;
    expect(await old.keys(pattern)).toEqual([]);
    expect((await present.keys(pattern)).length).toBeGreaterThan(2);
    for (const redis of [old, present]) redis.disconnect();
  });
});

describe('a command that dies', () => {
  it.each<MoveStep>(['prepare', 'copy', 'switch', 'clean'])(
    'in the step %s is continued by the next one',
    async (step) => {
      await using cluster = await startCluster({
        nodes: 2,
        redis: false,
        env: { ...env, FANFARE_REDIS_URL: urlOf(2) },
      });
      await using opened = await open(2);
      const move = moveOf(await opened.shards.readMap(), 0, 1);
      const traffic = await startTraffic(cluster, [topicIn(move.partition), topicIn(move.partition, 'fast')]);
      await dieIn(step, move);
      await expect(opened.shards.lock()).rejects.toThrow(/Another "fanfare shards" changes the map now/);
      await forgetLock();
      await opened.shards.lock();
      const map = await opened.shards.resume();
      expect(map.shards[move.partition]).toBe(move.to);
      expect(map.moves.size).toBe(0);
      const before = traffic.publishers.map(({ count }) => count);
      await until('all publish', () => traffic.publishers.every(({ count }, at) => count > (before[at] as number)));
      await expectAll(traffic);
      await opened.shards.unlock();
    },
  );

  it('that has hung until another one has locked the map deletes nothing that the nodes use', async () => {
    await using cluster = await startCluster({ redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
    const [old, present] = servers.slice(0, 2).map(({ url }) => new Redis(url)) as [Redis, Redis];
    let stream = '';
    const onStep = (_partition: number, step: MoveStep): void => {
      if (step !== 'copy') return;
      for (const redis of [old, present]) redis.set('fanfare:map:lock', 'another').catch(() => undefined);
      old.del(stream).catch(() => undefined);
    };
    await using opened = await open(2, { onStep });
    const move = moveOf(await opened.shards.lock(), 0, 1);
    const topic = topicIn(move.partition);
    stream = `fanfare:{${partitions.tagOf(move.partition)}}:topic:${topic}`;
    const connection = await cluster.connect();
    await until('it is served', async () => (await connection.publish(topic, 1)).type === 'published');
    await expect(opened.shards.carryOut([move])).rejects.toThrow(/has changed meanwhile, or this command hung/);
    expect(await present.exists(stream)).toBe(1);
    for (const redis of [old, present]) redis.disconnect();
    await forgetLock();
    await opened.shards.unlock();
  });

  it('while publications wait, lets them be refused after a second', async () => {
    await using cluster = await startCluster({ redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
    await using opened = await open(2);
    const move = moveOf(await opened.shards.readMap(), 0, 1);
    const connection = await cluster.connect();
    const topic = topicIn(move.partition);
    await until('it is served', async () => (await connection.publish(topic, 1)).type === 'published');
    await dieIn('copy', move);
    const reply = await until('the step is applied', async () => {
      const reply = await connection.publish(topic, 2);
      return reply.type === 'error' && reply;
    });
    expect(reply).toMatchObject({ code: 'unavailable', retryable: true });
    expect(await connection.publish(topicIn(0 === move.partition ? 1 : 0), 1)).toMatchObject({ type: 'published' });
    await forgetLock();
    await opened.shards.lock();
    await opened.shards.resume();
    await until('it is served', async () => (await connection.publish(topic, 2)).type === 'published');
    await opened.shards.unlock();
  });
});

it('moves a partition with the documented permissions', async () => {
  const operations = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  const [, rules = ''] = /^ACL SETUSER fanfare reset on >password (.*)$/m.exec(operations) ?? [];
  const [, more = ''] = /in addition to \[those of the nodes\]\S+\s+`([^`]+)`/.exec(operations) ?? [];
  const user = ['--user', 'fanfare', 'on', '>password', ...rules.split(' '), ...more.split(' ')];
  await using shards = await startRedisShards(2, { args: user });
  const hosts = shards.servers.map(({ port }) => `127.0.0.1:${port}`);
  const url = `redis+shards://fanfare:password@${hosts.join(';')}`;
  await using cluster = await startCluster({ redis: false, env: { ...env, FANFARE_REDIS_URL: url } });
  await using opened = await openShards({
    ...loadConfig({ FANFARE_REDIS_URL: url, FANFARE_REDIS_TIMEOUT_MS: '5000' }),
    redisUrl: url,
  });
  const map = await opened.shards.lock();
  const connection = await cluster.connect();
  const topic = topicIn(0);
  await connection.publish(topic, 1);
  const [from, to] = map.shards[0] === hosts[0] ? hosts : hosts.toReversed();
  await opened.shards.carryOut([{ partition: 0, from: from as string, to: to as string }]);
  await opened.shards.unlock();
  expect(await connection.publish(topic, 2)).toMatchObject({ type: 'published', position: { offset: 2 } });
});

it('leaves a partition where it was if the new shard is full', async () => {
  await using cluster = await startCluster({ redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
  const full = new Redis(servers[1]?.url ?? '');
  let isFull: Promise<unknown> | undefined;
  const onStep = (): void => {
    isFull ??= full.config('SET', 'maxmemory', '1');
  };
  await using opened = await open(2, { onStep });
  const move = moveOf(await opened.shards.lock(), 0, 1);
  const topic = topicIn(move.partition);
  const connection = await cluster.connect();
  expect(await connection.publish(topic, 1)).toMatchObject({ type: 'published' });
  await expect(opened.shards.carryOut([move])).rejects.toThrow(
    new RegExp(`Partition ${move.partition} stays in ${nameOf(0)}: .*${nameOf(1)}.*maxmemory`),
  );
  await isFull;
  await full.config('SET', 'maxmemory', '0');
  const map = await opened.shards.readMap();
  expect([map.shards[move.partition], map.moves.size]).toEqual([move.from, 0]);
  await until('it is served', async () => (await connection.publish(topic, 2)).type === 'published');
  await opened.shards.carryOut([move]);
  expect(await connection.publish(topic, 3)).toMatchObject({ type: 'published', position: { offset: 3 } });
  await opened.shards.unlock();
  full.disconnect();
});

describe('a subscriber that leaves while a partition changes over', () => {
  it('is listened to nowhere in the end', async () => {
    await using cluster = await startCluster({ redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
    await using opened = await open(2);
    const move = moveOf(await opened.shards.readMap(), 0, 1);
    const topic = topicIn(move.partition) as Topic;
    await dieIn('copy', move);
    const connection = await cluster.connect();
    await until('the step is applied', async () => (await connection.publish(topic, 1)).type === 'error');
    connection.send({ type: 'subscribe', id: 101, topic, since: null }, { type: 'unsubscribe', id: 102, topic });
    await connection.next('unsubscribed');
    await forgetLock();
    await opened.shards.lock();
    await opened.shards.resume();
    await opened.shards.unlock();
    const channel = `fanfare:{${partitions.tagOf(move.partition)}}:topic:${topic}`;
    for (const { url } of servers.slice(0, 2)) {
      const redis = new Redis(url);
      await until('nobody listens', async () => (await redis.pubsub('SHARDNUMSUB', channel))[1] === 0);
      redis.disconnect();
    }
  });
});

describe('a node', () => {
  it('that hangs during a move follows the map when it continues', async () => {
    await using cluster = await startCluster({ redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
    await using process = await startNode({ env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
    await using opened = await open(2);
    const move = moveOf(await opened.shards.lock(), 0, 1);
    const topic = topicIn(move.partition);
    await using reader = await TestConnection.open(process.url);
    await reader.subscribe(topic);
    await using writer = await TestConnection.open(process.url);
    expect(await writer.publish(topic, 1)).toMatchObject({ type: 'published' });
    const traffic = [new Publisher(await cluster.connect(), topicIn(move.partition, 'u'))];
    await process.pause();
    // Sent while the node hangs: it reads this before it learns of the move.
    writer.post(topic, 2);
    await opened.shards.carryOut([move]);
    await opened.shards.unlock();
    await process.resume();
    await until('it follows', async () => (await writer.publish(topic, 3)).type === 'published');
    const connection = await cluster.connect();
    expect(await connection.publish(topic, 4)).toMatchObject({ type: 'published' });
    const seen: unknown[] = [];
    while (seen.at(-1) !== 4) seen.push(...(await reader.take(topic, 1)));
    // The node has refused the unacknowledged one, or has published it in the new shard.
    expect(seen.filter((each) => each !== 2)).toEqual([1, 3, 4]);
    expect(lossesIn(reader)).toEqual([]);
    for (const publisher of traffic) await publisher.stop();
  });

  it('whose list lacks a shard of the map names it, and is not ready', async () => {
    await using cluster = await startCluster({ redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
    expect(cluster.nodes).toHaveLength(1);
    await using other = await startCluster({
      redis: false,
      env: { ...env, FANFARE_REDIS_URL: urlOf(1) },
      waitReady: false,
    });
    await until('it has read the map', async () =>
      (await other.node().readiness()).reason.includes(
        `uses ${nameOf(1)}, which FANFARE_REDIS_URL of this node does not list`,
      ),
    );
    const { status, reason } = await other.node().readiness();
    expect(status).toBe(503);
    expect(reason).toMatch(/^the node has no valid map of partitions\. The map of partitions uses /);
    expect(await other.node().metric('fanfare_not_ready{reason="mapFault"}')).toBe(1);
  });

  it('that finds two maps of the same version names the fault, and is not ready', async () => {
    const maps = [firstMap([nameOf(0), nameOf(1)], 16), mapOfOne(nameOf(1), 16)];
    for (const [index, map] of maps.entries()) {
      const redis = new Redis(servers[index]?.url ?? '');
      await redis.set('fanfare:map', formatMap(map));
      redis.disconnect();
    }
    await using cluster = await startCluster({
      redis: false,
      env: { ...env, FANFARE_REDIS_URL: urlOf(2) },
      waitReady: false,
    });
    await until('it has read both', async () =>
      (await cluster.node().readiness()).reason.includes('Two shards have different maps of version 1'),
    );
    expect((await cluster.node().readiness()).status).toBe(503);
  });

  it('leaves all partitions in a Redis that has data, also if that has no generation now', async () => {
    const redis = new Redis(servers[0]?.url ?? '');
    await redis.set('fanfare:layout', '3.16');
    redis.disconnect();
    await using cluster = await startCluster({ redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
    expect(cluster.nodes).toHaveLength(1);
    await using opened = await open(2);
    expect(new Set((await opened.shards.readMap()).shards)).toEqual(new Set([nameOf(0)]));
  });

  it('that does not follow keeps a partition from moving', async () => {
    await using cluster = await startCluster({ redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
    await using opened = await open(2);
    const move = moveOf(await opened.shards.lock(), 0, 1);
    const redis = new Redis(servers[0]?.url ?? '');
    // A node that sends heartbeats and does nothing else.
    const beat = async () => redis.zadd('fanfare:nodes', (await redis.get('fanfare:clock')) ?? 0, 'ghost');
    let last = beat();
    await last;
    const beating = setInterval(() => {
      last = beat();
    }, 100);
    await expect(opened.shards.carryOut([move])).rejects.toThrow(
      /stays in \S+: 1 node has not applied version \d+ of the map: ghost\./,
    );
    clearInterval(beating);
    await last;
    redis.disconnect();
    const map = await opened.shards.readMap();
    expect([map.shards[move.partition], map.moves.size]).toEqual([move.from, 0]);
    const connection = await cluster.connect();
    expect(await connection.publish(topicIn(move.partition), 1)).toMatchObject({ type: 'published' });
    await opened.shards.unlock();
  });
});

describe('a node that is late', () => {
  it('publishes nothing in the old shard after the copy, even if it has learned of the fence', async () => {
    await using replica = await startReplica(servers[0]?.port ?? 0);
    await using other = await startReplica(servers[1]?.port ?? 0);
    expect(other.port).not.toBe(replica.port);
    const slow = { ...env, FANFARE_REDIS_URL: urlOf(2), FANFARE_DURABLE_TIMEOUT_MS: '60000' };
    await using cluster = await startCluster({ redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
    expect(cluster.nodes).toHaveLength(1);
    await using process = await startNode({ env: slow });
    await using opened = await open(2);
    const map = await opened.shards.lock();
    const move = moveOf(map, 0, 1);
    const topic = topicIn(move.partition, 'durable') as Topic;
    await using writer = await TestConnection.open(process.url);
    expect(await writer.publish(topic, 1)).toMatchObject({ type: 'published' });
    await replica.pause();
    const [old, present] = servers.slice(0, 2).map(({ url }) => new Redis(url)) as [Redis, Redis];
    const length = async () => old.xlen(`fanfare:{${partitions.tagOf(move.partition)}}:topic:${topic}`);
    const second = writer.publish(topic, 2);
    await until('the second one waits for the replica', async () => (await length()) === 2);
    // Sent when the second one has its outcome.
    const third = writer.publish(topic, 3);
    await until(
      'it has read the third one',
      async () => (await writer.publish(topicIn(map.shards.indexOf(nameOf(1))), 1)).type === 'published',
    );
    await process.pause();
    await opened.shards.carryOut([move]);
    await opened.shards.unlock();
    await process.resume();
    // It finds the fence, and reads the map.
    await until('it asks again', async () => {
      const reply = await writer.publish(topicIn(map.shards.indexOf(nameOf(0))), 1);
      return reply.type === 'error' && reply.code === 'unavailable';
    });
    const clock = async () => Number(await present.get('fanfare:clock'));
    const before = await clock();
    await until('two heartbeats', async () => (await clock()) > before + 1_500);
    await replica.resume();
    await second;
    const last = await third;
    const page = await writer.requestServed({ type: 'history', topic, since: null, limit: null, direction: null });
    expect(page).toMatchObject({ position: { offset: last.type === 'published' ? 3 : 2 } });
    expect(last).toMatchObject({ type: 'error', code: 'unavailable', retryable: true });
    for (const redis of [old, present]) redis.disconnect();
  });
});

describe('a node that is slow', () => {
  it('delays the move, and publications continue in the old shard', async () => {
    await using replica = await startReplica(servers[0]?.port ?? 0);
    await using other = await startReplica(servers[1]?.port ?? 0);
    expect(other.port).not.toBe(replica.port);
    const slow = { ...env, FANFARE_REDIS_URL: urlOf(2), FANFARE_DURABLE_TIMEOUT_MS: '60000' };
    await using cluster = await startCluster({ nodes: 2, redis: false, env: slow });
    const steps: MoveStep[] = [];
    const onStep = (_partition: number, step: MoveStep): void => {
      steps.push(step);
      if (step === 'prepare' && steps.length > 1) replica.resume();
    };
    await using opened = await open(2, { onStep });
    const move = moveOf(await opened.shards.lock(), 0, 1);
    const topic = topicIn(move.partition, 'durable') as Topic;
    const traffic = await startTraffic(cluster, [topicIn(move.partition), topicIn(move.partition, 'fast')]);
    const writer = await cluster.connect();
    expect(await writer.publish(topic, 1)).toMatchObject({ type: 'published' });
    replica.pause();
    const old = new Redis(servers[0]?.url ?? '');
    const second = writer.publish(topic, 2);
    await until('the second one waits for the replica', async () => {
      return (await old.xlen(`fanfare:{${partitions.tagOf(move.partition)}}:topic:${topic}`)) === 2;
    });
    await opened.shards.carryOut([move]);
    await opened.shards.unlock();
    expect(steps.slice(0, 4)).toEqual(['prepare', 'copy', 'prepare', 'copy']);
    expect(steps.slice(-2)).toEqual(['switch', 'clean']);
    expect(await second).toMatchObject({ type: 'published', position: { offset: 2 } });
    await expectAll(traffic);
    old.disconnect();
  });
});

describe('a subscriber that comes while publications wait for long', () => {
  it('is asked to retry, and gets no reset', async () => {
    await using cluster = await startCluster({ redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
    await using opened = await open(2);
    const move = moveOf(await opened.shards.readMap(), 0, 1);
    const topic = topicIn(move.partition) as Topic;
    await dieIn('copy', move);
    const connection = await cluster.connect();
    const retryable = { type: 'error', code: 'unavailable', retryable: true };
    await until(
      'the step is applied',
      async () => (await connection.publish(topicIn(move.partition, 'u'), 1)).type === 'error',
    );
    expect(await connection.subscribe(topic)).toMatchObject(retryable);
    expect(
      await connection.request({ type: 'history', topic, since: null, limit: null, direction: null }),
    ).toMatchObject(retryable);
    // No history has begun in the old shard, which nobody would copy.
    const old = new Redis(servers[0]?.url ?? '');
    expect(await old.exists(`fanfare:{${partitions.tagOf(move.partition)}}:topic:${topic}`)).toBe(0);
    old.disconnect();
    await forgetLock();
    await opened.shards.lock();
    await opened.shards.resume();
    await opened.shards.unlock();
    const reader = await cluster.subscriber(topic);
    expect(await connection.publish(topic, 1)).toMatchObject({ type: 'published', position: { offset: 1 } });
    expect(await reader.take(topic, 1)).toEqual([1]);
    expect(lossesIn(reader)).toEqual([]);
  });
});

describe('a publication at level fast', () => {
  it('of a node that has hung while its partition moved is reported as a gap in the new shard', async () => {
    const twoShards = { ...env, FANFARE_REDIS_URL: urlOf(2) };
    await using cluster = await startCluster({ redis: false, env: twoShards });
    await using process = await startNode({ env: twoShards });
    await using opened = await open(2);
    const move = moveOf(await opened.shards.lock(), 0, 1);
    const topic = topicIn(move.partition, 'fast') as Topic;
    const reader = await cluster.subscriber(topic);
    await using writer = await TestConnection.open(process.url);
    expect(await writer.publish(topic, 1)).toMatchObject({ type: 'published' });
    expect(await reader.take(topic, 1)).toEqual([1]);
    await process.pause();
    // Without an answer: nobody else would report its loss.
    writer.post(topic, 2);
    await opened.shards.carryOut([move]);
    await opened.shards.unlock();
    await process.resume();
    await until('it publishes in the new shard', async () => (await writer.publish(topic, 3)).type === 'published');
    const seen: unknown[] = [];
    while (seen.at(-1) !== 3) seen.push(...(await reader.take(topic, 1)));
    // Published in the new shard after all, or reported.
    expect([seen, lossesIn(reader).length > 0]).toEqual(seen.includes(2) ? [[2, 3], false] : [[3], true]);
  });
});

describe('a shard that has got a partition', () => {
  it('and returns to data from before the end of the copy gives its topics another epoch', async () => {
    const twoShards = { ...env, FANFARE_REDIS_URL: urlOf(2) };
    await using cluster = await startCluster({ redis: false, env: twoShards, times: shortTimes });
    const [old, present] = servers.slice(0, 2).map(({ url }) => new Redis(url)) as [Redis, Redis];
    await using opened = await open(2);
    const move = moveOf(await opened.shards.lock(), 0, 1);
    const topic = topicIn(move.partition) as Topic;
    const stream = `fanfare:{${partitions.tagOf(move.partition)}}:topic:${topic}`;
    const writer = await cluster.connect();
    const first = await writer.publish(topic, 1);
    if (first.type !== 'published' || first.position === null) throw new Error('Not published.');
    // What the first part of a long copy leaves, and a snapshot then.
    await present.restore(stream, 60_000, await old.dumpBuffer(stream));
    const names = (await present.keys('*')).filter((name) => !name.endsWith(':clock'));
    const values = await Promise.all(names.map((name) => present.dumpBuffer(name)));
    expect(await writer.publish(topic, 2)).toMatchObject({ type: 'published', position: { offset: 2 } });
    await opened.shards.carryOut([move]);
    await opened.shards.unlock();
    // No node remembers what was published before.
    await untilForgotten(present);
    const lose = `local clock = redis.call('GET', KEYS[1]) redis.call('FLUSHALL') redis.call('SET', KEYS[1], clock)
      for i = 1, #ARGV, 2 do redis.call('RESTORE', ARGV[i], 0, ARGV[i + 1]) end redis.call('SET', KEYS[2], 'another')`;
    const words = names.flatMap((name, index) => [name, values[index] as Buffer]);
    await present.eval(lose, 2, 'fanfare:clock', 'fanfare:run', ...words);
    const third = await until('it is served', async () => {
      const reply = await writer.publish(topic, 3);
      return reply.type === 'published' && reply.position;
    });
    // Otherwise the third publication would have the place of the second one.
    expect(third.epoch > first.position.epoch).toBe(true);
    const back = await writer.request({ type: 'subscribe', topic, since: first.position });
    expect(back).toMatchObject({ type: 'subscribed', recovered: false });
    for (const redis of [old, present]) redis.disconnect();
  });

  it('knows which nodes may have published what it could lose', async () => {
    await using cluster = await startCluster({ redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
    await using opened = await open(2);
    const move = moveOf(await opened.shards.lock(), 0, 1);
    const writer = await cluster.connect();
    expect(await writer.publish(topicIn(move.partition), 1)).toMatchObject({ type: 'published' });
    const present = new Redis(servers[1]?.url ?? '');
    await until('the node is known', async () => (await present.zcard('fanfare:nodes')) === 1);
    expect(await present.zcard('fanfare:unpublished')).toBe(1);
    await opened.shards.carryOut([move]);
    await opened.shards.unlock();
    expect(await present.zcard('fanfare:unpublished')).toBe(0);
    present.disconnect();
  });
});

describe('a shard that is down', () => {
  it('keeps the map from being changed, and its command says so', async () => {
    await using cluster = await startCluster({ redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(3) } });
    expect(cluster.nodes).toHaveLength(1);
    await servers[2]?.stop();
    const opening = open(3);
    await expect(opening).rejects.toThrow(ShardsError);
    await expect(opening).rejects.toThrow(nameOf(2));
    await servers[2]?.restart();
  });

  it('while it gets a partition, loses nothing of it', async () => {
    await using cluster = await startCluster({ nodes: 2, redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
    await using opened = await open(2);
    const move = moveOf(await opened.shards.readMap(), 0, 1);
    const traffic = await startTraffic(cluster, [topicIn(move.partition)]);
    await dieIn('switch', move);
    await servers[1]?.restart();
    await forgetLock();
    await until('all shards respond', async () => {
      try {
        await using again = await open(2);
        await again.shards.lock();
        await again.shards.resume();
        await again.shards.unlock();
        return true;
      } catch (error) {
        if (!(error instanceof ShardsError)) throw error;
        return false;
      }
    });
    const [before] = traffic.publishers.map(({ count }) => count);
    await until('it publishes', () => (traffic.publishers[0]?.count ?? 0) > (before ?? 0));
    await expectAll(traffic);
  });
});
