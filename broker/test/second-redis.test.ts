/** A second Redis is added in a rolling deploy (docs/operations.md, Several Redis servers). */
import { startRedisShards } from '@fanfare/local-cluster';
import { expect, it } from 'vitest';
import { startCluster, startNode } from './harness.js';
import { TestConnection } from './test-connection.js';
import { until } from './wait.js';

it('nodes with one Redis and nodes with a second one are one broker, and keep what is there', async () => {
  await using shards = await startRedisShards(2);
  const [first] = shards.servers;
  if (first === undefined) throw new Error('There is no Redis.');
  await using old = await startCluster({ redis: first });
  const topics = Array.from({ length: 16 }, (_, index) => `t${index}`);
  const atOld = await old.connect();
  for (const topic of topics) expect(await atOld.publish(topic, 'before')).toMatchObject({ type: 'published' });
  await using node = await startNode({ FANFARE_NODE_NAME: 'new', FANFARE_REDIS_URL: shards.url });
  await until('the new node is ready', async () => (await node.readiness()).status === 200);
  const atNew = await TestConnection.open(node.url, 'json');
  for (const topic of topics) {
    expect(await atOld.subscribe(topic)).toMatchObject({ type: 'subscribed', position: { offset: 1 } });
    expect(await atNew.subscribe(topic)).toMatchObject({ type: 'subscribed', position: { offset: 1 } });
    expect(await atOld.publish(topic, 'old')).toMatchObject({ type: 'published', position: { offset: 2 } });
    expect(await atNew.publish(topic, 'new')).toMatchObject({ type: 'published', position: { offset: 3 } });
    for (const each of [atOld, atNew]) expect(await each.take(topic, 2)).toEqual(['old', 'new']);
  }
  const partitions = [...(await node.broker.metrics('fanfare_shard_partitions')).matchAll(/\} (\d+)$/gm)];
  expect(partitions.map(([, count]) => count)).toEqual(['64', '0']);
  await atNew.close();
});
