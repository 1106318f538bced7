/** What holds for one Redis holds for several: the contracts of the relay and of the auth store, and nodes. */
import { type RedisClusterProcess, type RedisShards, startRedisCluster, startRedisShards } from '@fanfare/local-cluster';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { flush, startCluster } from './harness.js';
import { relayContract } from './relay.contract.js';
import { startRelays } from './test-relay.js';
import { within } from './wait.js';

const starts: Readonly<Record<string, () => Promise<RedisShards | RedisClusterProcess>>> = {
  'two Redis': () => startRedisShards(2),
  'a Redis Cluster': () => startRedisCluster(),
};

describe.each(Object.entries(starts))('over %s', (_, start) => {
  let servers: RedisShards | RedisClusterProcess;
  beforeAll(async () => {
    servers = await start();
  });
  afterAll(async () => {
    await servers[Symbol.asyncDispose]();
  });

  let prefixes = 0;
  afterEach(async () => {
    await flush(servers);
  });

  // The fewest partitions: each is a unit of its own in a Redis Cluster, and costs time in each test.
  relayContract('RoutedRelay', (count) =>
    startRelays(count, { redisUrl: servers.url, redisPrefix: `p${++prefixes}`, redisPartitions: 16 }),
  );

  describe('two nodes', () => {
    const names = Array.from({ length: 50 }, (_, index) => `room.${index}`);

    it('are one broker: a publication at one reaches subscribers of the other, once and in order', async () => {
      await using cluster = await startCluster({ nodes: 2, redis: servers });
      const reader = await cluster.connect(1);
      for (const name of names) expect(await reader.subscribe(name)).toMatchObject({ type: 'subscribed' });
      const writer = await cluster.connect(0);
      for (const number of [1, 2, 3]) writer.send(...names.map((topic) => ({ type: 'publish', id: null, topic, data: number, messageId: null }) as const));
      for (const name of names) expect(await reader.take(name, 3)).toEqual([1, 2, 3]);
    });

    it('return missed publications after a pause, and the history', async () => {
      await using cluster = await startCluster({ nodes: 2, redis: servers });
      const writer = await cluster.connect(0);
      const reader = await cluster.connect(1);
      for (const topic of names) {
        const reply = await writer.publish(topic, 'seen');
        const position = reply.type === 'published' ? reply.position : null;
        expect(position).toMatchObject({ offset: 1 });
        await writer.publish(topic, 'missed');
        expect(await reader.request({ type: 'subscribe', topic, since: position })).toMatchObject({
          type: 'subscribed',
          recovered: true,
          publications: [{ data: 'missed' }],
        });
      }
    });
  });
});
