/** The servers that nodes share in tests. */
import { expect, it } from 'vitest';
import { startCluster, type TestCluster } from './harness.js';

it.each(['single', 'shards'] as const)(
  'the servers of %s are reused, empty, unless a test has used them',
  async (redis) => {
    /** Publishes to topics on all servers; returns the URL of the servers, and the offsets. */
    async function publish(use: (cluster: TestCluster) => unknown = () => null) {
      await using cluster = await startCluster({ redis });
      const writer = await cluster.connect();
      const offsets: unknown[] = [];
      for (let number = 0; number < 20; number++) {
        const reply = await writer.publish(`t${number}`, number);
        offsets.push(reply.type === 'published' ? reply.position?.offset : reply);
      }
      use(cluster);
      return { url: cluster.redisUrl, offsets: [...new Set(offsets)] };
    }
    const first = await publish();
    expect(first.offsets).toEqual([1]);
    expect(await publish((cluster) => (redis === 'single' ? cluster.redis : cluster.shards))).toEqual(first);
    expect((await publish()).url).not.toBe(first.url);
  },
);

it('a cluster of nodes has only the servers that it was started with', async () => {
  await using cluster = await startCluster({ redis: 'single' });
  expect(() => cluster.shards).toThrow('This cluster has no shards.');
  expect(() => cluster.redisCluster).toThrow('This cluster has no Redis Cluster.');
  await using alone = await startCluster();
  expect(() => alone.redis).toThrow('This cluster has no single Redis.');
  expect(() => alone.redisUrl).toThrow('This cluster has no Redis.');
});
