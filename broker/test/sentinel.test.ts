/** Redis with Sentinels: the nodes find the master, and the next one after a failover. */
import { startRedis, startSentinel } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { startCluster, type TestNode } from './harness.js';
import { until } from './wait.js';

const settingsLines = ({ log }: TestNode) => log.filter(({ event }) => event === 'redisSettings').map(({ msg }) => msg);

const quick = { FANFARE_REDIS_TIMEOUT_MS: '500' };

describe('Redis with Sentinels', () => {
  it('is found by them, and after a failover again: what was acknowledged is kept, subscribers go on', async () => {
    await using master = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
    await using replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${master.port}`] });
    const admin = new Redis(master.url);
    await until('the replica follows', async () => (await admin.info('replication')).includes('state=online'));
    await using sentinel = await startSentinel({ masterName: 'mymaster', masterPort: master.port });
    const sentinelAdmin = new Redis({ port: sentinel.port });
    await until('the Sentinel knows the replica', async () => {
      const info = await sentinelAdmin.info('sentinel');
      return /slaves=1/.test(info);
    });
    // The first one does not answer: the second is asked.
    const url = `redis+sentinel://127.0.0.1:1,127.0.0.1:${sentinel.port}/mymaster`;
    await using cluster = await startCluster({ nodes: 2, redis: false, env: { ...quick, FANFARE_REDIS_URL: url } });
    const reader = await cluster.subscriber('t', 1);
    const writer = await cluster.connect(0);
    expect(await writer.publish('t', 1)).toMatchObject({ type: 'published' });
    expect(await reader.take('t', 1)).toEqual([1]);
    // Asynchronous replication: only what the replica has is to be kept.
    await admin.call('WAIT', '1', '0');
    admin.disconnect();
    await master.kill();
    await until('a publication is accepted', async () => (await writer.publish('t', 2)).type === 'published');
    expect(await reader.take('t', 1)).toEqual([2]);
    expect(await sentinelAdmin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'mymaster')).toEqual([
      '127.0.0.1',
      String(replica.port),
    ]);
    sentinelAdmin.disconnect();
    // Of both masters, but once.
    for (const node of cluster.nodes)
      expect(settingsLines(node)).toEqual([expect.stringContaining('Set min-replicas-to-write 1')]);
  });

  it('is followed in a planned failover at once, before the old master is demoted: nothing is lost or told', async () => {
    await using master = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
    await using replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${master.port}`] });
    const [admin, next] = [new Redis(master.url), new Redis(replica.url)];
    await until('the replica follows', async () => (await admin.info('replication')).includes('state=online'));
    await using sentinel = await startSentinel({ masterName: 'mymaster', masterPort: master.port });
    const sentinelAdmin = new Redis({ port: sentinel.port });
    await until('the Sentinel knows the replica', async () => /slaves=1/.test(await sentinelAdmin.info('sentinel')));
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster`;
    await using cluster = await startCluster({ nodes: 2, redis: false, env: { ...quick, FANFARE_REDIS_URL: url } });
    const reader = await cluster.subscriber('t', 1);
    const writer = await cluster.connect(0);
    let accepted = 0;
    const publish = () =>
      until('a publication is accepted', async () => {
        const publication = { type: 'publish', topic: 't', data: accepted, messageId: `m${accepted}` } as const;
        return (await writer.request(publication)).type === 'published';
      });
    for (; accepted < 50; accepted++) await publish();
    await sentinelAdmin.call('SENTINEL', 'FAILOVER', 'mymaster');
    const nodesAt = async (redis: Redis) =>
      String(await redis.client('LIST'))
        .split('\n')
        .filter((line) => line.includes(':publisher')).length;
    while ((await nodesAt(next)) < 2) {
      await publish();
      accepted++;
    }
    expect(await admin.info('replication')).toContain('role:master');
    for (const end = accepted + 50; accepted < end; accepted++) await publish();
    expect(await reader.take('t', accepted)).toEqual(Array.from({ length: accepted }, (_, number) => number));
    expect(reader.inbox.waiting).toEqual([]);
    for (const each of [admin, next, sentinelAdmin]) each.disconnect();
  });

  it('has nothing said of its settings where a master that was cut off does not go on', async () => {
    await using master = await startRedis({
      args: ['--repl-diskless-sync-delay', '0', '--min-replicas-to-write', '1'],
    });
    await using _replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${master.port}`] });
    await using sentinel = await startSentinel({ masterName: 'mymaster', masterPort: master.port });
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster`;
    await using cluster = await startCluster({ env: { ...quick, FANFARE_REDIS_URL: url } });
    expect(settingsLines(cluster.node())).toEqual([]);
  });

  it('says what is wrong: no Sentinel answers, and comes to life when one does', async () => {
    await using redis = await startRedis();
    const gone = await startSentinel({ masterName: 'mymaster', masterPort: redis.port });
    await gone[Symbol.asyncDispose]();
    const url = `redis+sentinel://127.0.0.1:${gone.port}/mymaster`;
    await using cluster = await startCluster({ env: { ...quick, FANFARE_REDIS_URL: url }, waitReady: false });
    const node = cluster.node();
    await until('the log says so', () =>
      node.log.some(
        ({ msg }) =>
          msg ===
          'No Sentinel in FANFARE_REDIS_URL answers: are they running, and are host, port, password and TLS (rediss or redis) right?',
      ),
    );
    await using _ = await startSentinel({ masterName: 'mymaster', masterPort: redis.port, port: gone.port });
    await until('the node is ready', async () => (await node.readiness()).status === 200);
  });

  it('says what is wrong: the URL of a Redis leads to a Sentinel', async () => {
    await using redis = await startRedis();
    await using sentinel = await startSentinel({ masterName: 'mymaster', masterPort: redis.port });
    const url = `redis://127.0.0.1:${sentinel.port}`;
    await using cluster = await startCluster({ env: { ...quick, FANFARE_REDIS_URL: url }, waitReady: false });
    await until('the log says so', () =>
      cluster.node().log.some(({ msg }) => msg.includes('FANFARE_REDIS_URL is redis+sentinel://host:26379/name')),
    );
  });

  it('says what is wrong: they know no master of that name', async () => {
    await using redis = await startRedis();
    await using sentinel = await startSentinel({ masterName: 'mymaster', masterPort: redis.port });
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/other`;
    await using cluster = await startCluster({ env: { ...quick, FANFARE_REDIS_URL: url }, waitReady: false });
    await until('the log says so', () =>
      cluster
        .node()
        .log.some(
          ({ msg }) =>
            msg === 'The Sentinels in FANFARE_REDIS_URL know no master of that name: check the name behind the slash.',
        ),
    );
  });
});
