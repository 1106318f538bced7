/** A node that joins gets its share of the connections, and no subscriber loses a publication. */
import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from '@fanfare/client';
import { Balancer, findFreePort, startRedis } from '@fanfare/local-cluster';
import { expect, it } from 'vitest';
import { startNode, type TestNode } from '../broker/test/harness.js';

/** Between two publications. Without it, the test would be a load test. */
const pauseMs = 10;

const connectionsOf = (node: TestNode): Promise<number> => node.metric('fanfare_connections');

it('a new node gets connections of the other nodes, and no publication is lost, repeated or out of order', async () => {
  await using redis = await startRedis();
  const env = { FANFARE_REDIS_URL: redis.url, FANFARE_REBALANCE_RATE: '10', FANFARE_REBALANCE_AFTER_MS: '1000' };
  const secondPort = await findFreePort();
  await using first = await startNode(env);
  await using balancer = await Balancer.start({ ports: [first.broker.port, secondPort] });
  await using publisher = createClient<{ t: number }>(first.url);
  await publisher.connect();
  const readers = Array.from({ length: 24 }, () => {
    const client = createClient<{ t: number }>(balancer.url);
    const received: number[] = [];
    const notices: string[] = [];
    const subscription = client.subscribe('t', ({ data }) => received.push(data));
    for (const event of ['gap', 'reset'] as const) subscription.on(event, () => notices.push(event));
    return { client, subscription, received, notices };
  });
  await Promise.all(readers.map(({ subscription }) => subscription.ready));
  expect(await connectionsOf(first)).toBe(25);
  await using second = await startNode({ ...env, FANFARE_PORT: String(secondPort) });
  let published = 0;
  while ((await connectionsOf(first)) > 14) {
    await publisher.publish('t', published++);
    await delay(pauseMs);
  }
  await publisher.publish('t', published++);
  await expect.poll(() => connectionsOf(second)).toBeGreaterThanOrEqual(11);
  const all = Array.from({ length: published }, (_, index) => index);
  await expect.poll(() => readers.every(({ received }) => received.length >= published)).toBe(true);
  for (const { received, notices } of readers) {
    expect(received).toEqual(all);
    expect(notices).toEqual([]);
  }
  await Promise.all(readers.map(({ client }) => client.close()));
});
