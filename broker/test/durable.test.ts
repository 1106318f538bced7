/** Topics of level `durable`: acknowledged publications survive the loss of the master. */
import { startRedis } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { startCluster } from './harness.js';
import { until } from './wait.js';

const env = {
  FANFARE_TOPICS: '{"safe.>":{"level":"durable"}}',
  FANFARE_DURABLE_TIMEOUT_MS: '300',
  FANFARE_REDIS_TIMEOUT_MS: '1000',
};

async function startReplicaOf(port: number) {
  const replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${port}`] });
  const admin = new Redis(replica.url);
  const master = new Redis({ port });
  // The replica reports itself as connected a moment before the master counts it.
  await until('the replica is connected', async () => (await master.info('replication')).includes('state=online'));
  master.disconnect();
  return { replica, admin };
}

describe('a topic of level durable', () => {
  it('gets an acknowledgement when a replica has stored the publication, and "unconfirmed" if no replica confirms it', async () => {
    await using redis = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
    const { replica, admin } = await startReplicaOf(redis.port);
    await using cluster = await startCluster({ nodes: 2, redis, env });
    const reader = await cluster.subscriber('safe.t', 1);
    const writer = await cluster.connect();
    const publish = (data: unknown, messageId: string) =>
      writer.request({ type: 'publish', topic: 'safe.t', data, messageId });
    // On a busy machine, more than one attempt may be needed.
    const acknowledged = (data: unknown, messageId: string) =>
      until('the publication is acknowledged', async () => {
        const reply = await publish(data, messageId);
        return reply.type === 'published' && reply.position;
      });
    expect(await acknowledged(1, 'a')).toMatchObject({ offset: 1 });
    await replica.pause();
    expect(await publish(2, 'b')).toMatchObject({ type: 'error', code: 'unconfirmed', retryable: true });
    expect(cluster.nodes.flatMap(({ log }) => log)).toContainEqual(
      expect.objectContaining({ event: 'redisError', msg: expect.stringContaining('FANFARE_DURABLE_REPLICAS') }),
    );
    // Other publications do not wait behind it.
    expect(await writer.publish('other', 1)).toMatchObject({ type: 'published' });
    await replica.resume();
    expect(await acknowledged(2, 'b')).toMatchObject({ offset: 2 });
    expect(await acknowledged(3, 'c')).toMatchObject({ offset: 3 });
    expect(await reader.take('safe.t', 3)).toEqual([1, 2, 3]);
    admin.disconnect();
    await replica[Symbol.asyncDispose]();
  });

  it('causes a warning if the node has no Redis', async () => {
    await using cluster = await startCluster({ env });
    expect(cluster.node().log).toContainEqual(expect.objectContaining({ event: 'durableWithoutRedis' }));
    await using other = await startCluster();
    expect(other.node().log).not.toContainEqual(expect.objectContaining({ event: 'durableWithoutRedis' }));
  });

  it('keeps acknowledged publications when the master dies and the replica takes over', async () => {
    const redis = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
    const { replica, admin } = await startReplicaOf(redis.port);
    // Enough for a busy machine: here, each publish is acknowledged.
    const patient = { ...env, FANFARE_DURABLE_TIMEOUT_MS: '10000' };
    await using first = await startCluster({ nodes: 1, redis, env: patient });
    const writer = await first.connect();
    const positions = [];
    for (let number = 1; number <= 50; number++) {
      const reply = await writer.publish('safe.t', number);
      expect(reply).toMatchObject({ type: 'published' });
      if (reply.type === 'published') positions.push(reply.position);
    }
    await redis.kill();
    await admin.replicaof('NO', 'ONE');
    await using second = await startCluster({ nodes: 1, redis: replica, env });
    const reader = await second.connect();
    const history = await reader.request({
      type: 'history',
      topic: 'safe.t',
      since: null,
      limit: 100,
      direction: null,
    });
    // No node was left to confirm that nothing is missing, so the epoch has changed.
    expect(history).toMatchObject({
      type: 'history',
      first: 1,
      publications: positions.map((_, index) => ({ data: index + 1 })),
    });
    admin.disconnect();
    await redis[Symbol.asyncDispose]();
    await replica[Symbol.asyncDispose]();
  });
});
