/** Partitions move between shards while clients publish and subscribe, and nobody notices. */
import { type RedisProcess, type RedisShards, startRedisShards } from '@fanfare/local-cluster';
import type { ServerMessage, Topic } from '@fanfare/protocol';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../src/index.js';
import { Partitions } from '../src/relay/partitions.js';
import { type OpenShards, openShards } from '../src/shards/open-shards.js';
import { startCluster, type TestCluster } from './harness.js';
import type { TestConnection } from './test-connection.js';
import { until } from './wait.js';

const partitions = new Partitions(16);
const env = {
  FANFARE_REDIS_PARTITIONS: '16',
  FANFARE_TOPICS: JSON.stringify({ 'fast.>': { level: 'fast' }, '>': { level: 'recoverable', historySize: 10_000 } }),
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

function open(count = 3, lines: string[] = []): Promise<OpenShards> {
  const config = loadConfig({ FANFARE_REDIS_URL: urlOf(count), FANFARE_REDIS_PARTITIONS: '16' });
  return openShards({ ...config, redisUrl: urlOf(count) }, (line) => lines.push(line));
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
  longestMs = 0;

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
      const startedAt = performance.now();
      for (;;) {
        const reply = await connection.publish(this.topic, this.count + 1);
        if (reply.type === 'published') break;
        if (reply.type !== 'error' || reply.code !== 'unavailable') throw new Error(JSON.stringify(reply));
        this.refused++;
      }
      this.longestMs = Math.max(this.longestMs, performance.now() - startedAt);
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
  it('loses, repeats and reorders nothing, and nobody gets a gap or a reset', async () => {
    await using cluster = await startCluster({ nodes: 2, redis: false, env: { ...env, FANFARE_REDIS_URL: urlOf(2) } });
    await using opened = await open(2);
    const { shards } = opened;
    const map = await shards.lock();
    const partition = map.shards.lastIndexOf(nameOf(0));
    const stays = map.shards.indexOf(nameOf(0));
    const topics = [
      topicIn(partition),
      topicIn(partition, 'fast'),
      topicIn(stays),
      topicIn(map.shards.indexOf(nameOf(1))),
    ];
    const traffic = await startTraffic(cluster, topics);
    await shards.carryOut([{ partition, from: nameOf(0), to: nameOf(1) }]);
    const during = traffic.publishers.map(({ count }) => count);
    await until('all publish again', () =>
      traffic.publishers.every(({ count }, at) => count > (during[at] as number) + 20),
    );
    await shards.carryOut([{ partition, from: nameOf(1), to: nameOf(0) }]);
    await expectAll(traffic);
    console.log(
      traffic.publishers.map(({ topic, count, refused, longestMs }) => ({ topic, count, refused, longestMs })),
    );
    await shards.unlock();
  });
});
