/** What holds for one Redis holds for several: the contract of the relay, and nodes that are one broker. */
import {
  type RedisClusterProcess,
  type RedisProcess,
  type RedisShards,
  startRedisCluster,
  startRedisShards,
} from '@fanfare/local-cluster';
import type { ReplyError } from '@fanfare/protocol';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RelaySettings } from '../src/relay/open-relay.js';
import { flush, startCluster } from './harness.js';
import { publishAcknowledged, relayContract, topic } from './relay.contract.js';
import { startRelay, startRelays, untilConnected } from './test-relay.js';
import { until } from './wait.js';

let prefixes = 0;

/** With a prefix that no other test has. */
function settingsFor({ url }: { readonly url: string }): Pick<RelaySettings, 'redisUrl' | 'redisPrefix'> {
  return { redisUrl: url, redisPrefix: `p${++prefixes}` };
}

const placements: Readonly<Record<string, () => Promise<RedisShards | RedisClusterProcess>>> = {
  'two shards': () => startRedisShards(2),
  // On a busy machine, no server may count as failed.
  'a Redis Cluster': () => startRedisCluster({ nodeTimeoutMs: 15_000 }),
};

describe.each(Object.entries(placements))('with %s,', (_, start) => {
  let servers: RedisShards | RedisClusterProcess;
  beforeAll(async () => {
    servers = await start();
  });
  afterEach(async () => {
    await flush(servers);
  });
  afterAll(async () => {
    await servers[Symbol.asyncDispose]();
  });

  // The fewest partitions: in a Redis Cluster, each costs time.
  relayContract('RoutedRelay', (count) => startRelays(count, { ...settingsFor(servers), redisPartitions: 16 }));

  const names = Array.from({ length: 50 }, (_, index) => `room.${index}`);

  it('two nodes are one broker: publications at one reach subscribers of the other, once and in order', async () => {
    await using cluster = await startCluster({ nodes: 2, redis: servers });
    const reader = await cluster.connect(1);
    for (const topic of names) expect(await reader.subscribe(topic)).toMatchObject({ type: 'subscribed' });
    const writer = await cluster.connect(0);
    for (const data of [1, 2, 3]) for (const topic of names) writer.post(topic, data);
    for (const topic of names) expect(await reader.take(topic, 3)).toEqual([1, 2, 3]);
  });

  it('two nodes return missed publications', async () => {
    await using cluster = await startCluster({ nodes: 2, redis: servers });
    const [writer, reader] = [await cluster.connect(0), await cluster.connect(1)];
    for (const topic of names) {
      const reply = await writer.publish(topic, 'seen');
      const since = reply.type === 'published' ? reply.position : null;
      await writer.publish(topic, 'missed');
      expect(await reader.request({ type: 'subscribe', topic, since })).toMatchObject({
        type: 'subscribed',
        recovered: true,
        publications: [{ data: 'missed' }],
      });
    }
  });
});

describe('two shards', () => {
  const names = Array.from({ length: 40 }, (_, index) => `t${index}`);

  /** Topics that each shard holds. */
  async function topicsOf(shards: RedisShards): Promise<readonly (readonly string[])[]> {
    const lists = shards.servers.map(async ({ url }) => {
      const admin = new Redis(url);
      const keys = await admin.keys('*:topic:*');
      admin.disconnect();
      return keys.flatMap((key) => /:topic:(t\d+)$/.exec(key)?.[1] ?? []);
    });
    return Promise.all(lists);
  }

  it('each hold a part of the topics, and all topics are listed once', async () => {
    await using shards = await startRedisShards(2);
    await using node = startRelay(settingsFor(shards));
    await untilConnected(node.relay);
    for (const name of names) await publishAcknowledged(node.relay, name, 1);
    const [one = [], other = []] = await topicsOf(shards);
    expect(Math.min(one.length, other.length)).toBeGreaterThan(5);
    expect([...one, ...other].toSorted()).toEqual(names.toSorted());
    expect(node.relay.shards.map(({ name, partitions }) => [name, partitions])).toEqual(
      shards.servers.map(({ port }) => [`127.0.0.1:${port}`, 32]),
    );
    const listed: string[] = [];
    for (let cursor: string | null = null, isLast = false; !isLast; ) {
      const page = await node.relay.topics({ prefix: 't', cursor, limit: 7 });
      listed.push(...page.topics);
      cursor = page.next;
      isLast = cursor === null;
    }
    expect(listed.toSorted()).toEqual(names.toSorted());
    for (const cursor of ['x', '5', '2-0', '0-x'])
      await expect(node.relay.topics({ prefix: '', cursor, limit: 7 })).rejects.toMatchObject({ code: 'malformed' });
  });

  it('fail alone: topics of the other shard are served, and those of the failed one are unavailable until it is back', async () => {
    await using shards = await startRedisShards(2);
    const settings = settingsFor(shards);
    await using node = startRelay(settings);
    await using other = startRelay(settings);
    for (const { relay } of [node, other]) await untilConnected(relay);
    const [victim] = shards.servers as [RedisProcess, RedisProcess];
    await other.relay.subscribe(topic('t0'), null);
    for (const name of names) await publishAcknowledged(node.relay, name, 1);
    await victim.kill();
    await until('the failed shard is noticed', () => node.relay.shards[0]?.isConnected === false);
    expect(node.relay.shards.map(({ unavailable }) => unavailable)).toEqual([32, 0]);
    expect(node.relay.state).toBe('connected');
    await until('the fault names it', () => node.relay.fault?.startsWith(`127.0.0.1:${victim.port}: `));
    const outcomes = new Map<string, string>();
    for (const name of names)
      outcomes.set(
        name,
        await publishAcknowledged(node.relay, name, 2).then(
          (outcome) => (outcome instanceof Error ? (outcome as ReplyError).code : 'accepted'),
          (error: ReplyError) => error.code,
        ),
      );
    const codes = [...outcomes.values()];
    expect(new Set(codes)).toEqual(new Set(['accepted', 'unavailable']));
    expect(codes.filter((code) => code === 'accepted').length).toBeGreaterThan(5);
    await victim.restart();
    for (const { relay } of [node, other]) await untilConnected(relay);
    for (const name of names)
      expect(await publishAcknowledged(node.relay, name, 3)).toMatchObject({ offset: expect.any(Number) });
    await until('the subscriber has everything', () => other.delivery.of('t0').at(-1) === '3');
  });
});
