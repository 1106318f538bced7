/** The Redis user that docs/operations.md gives to the nodes suffices, and is confined to their prefix. */
import { readFileSync } from 'node:fs';
import { startRedis } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { createApiKey } from '../src/auth/api-keys.js';
import { startCluster } from './harness.js';
import { TestConnection } from './test-connection.js';
import { until } from './wait.js';

const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');

it('serves histories, fast and durable topics, tickets, revocations and the look at output buffers, and nothing else', async () => {
  const [, rule = ''] = /^ACL SETUSER (fanfare .*)$/m.exec(page) ?? [];
  await using redis = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
  await using _replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${redis.port}`] });
  const admin = new Redis(redis.url);
  await until('the replica follows', async () => (await admin.info('replication')).includes('state=online'));
  await admin.call('ACL', 'SETUSER', ...rule.split(' '));
  const { key, entry } = createApiKey('test');
  const permissions = { publish: ['>'], subscribe: ['>'], history: ['>'] };
  await using cluster = await startCluster({
    nodes: 2,
    redis: false,
    env: {
      FANFARE_REDIS_URL: redis.url.replace('redis://', 'redis://fanfare:password@'),
      FANFARE_TOPICS: '{"fast":{"level":"fast"},"durable":{"level":"durable"}}',
      FANFARE_AUTH: JSON.stringify({ apiKeys: [{ ...entry, permissions, admin: true }] }),
      FANFARE_PROBE_INTERVAL_MS: '100',
    },
  });
  const headers = { Authorization: `Bearer ${key}` };
  const [writer, reader] = await Promise.all(
    cluster.nodes.map(({ url }) => TestConnection.open(url, 'json', { headers })),
  );
  if (writer === undefined || reader === undefined) throw new Error('There are two nodes.');
  for (const topic of ['fast', 'kept', 'durable']) {
    expect(await reader.subscribe(topic)).toMatchObject({ type: 'subscribed' });
    await until(
      `a publication to ${topic} is accepted`,
      async () => (await writer.publish(topic, 1)).type === 'published',
    );
    expect(await reader.take(topic, 1)).toEqual([1]);
  }
  const post = async (path: string, body: object): Promise<number> => {
    const url = (cluster.node().url as string).replace('ws:', 'http:').replace('/ws', path);
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    return response.status;
  };
  expect(await post('/v1/revocations', { subject: 'nobody' })).toBe(202);
  const probes = await cluster.node().metric('fanfare_probe_seconds_count');
  await until('it goes on', async () => (await cluster.node().metric('fanfare_probe_seconds_count')) > probes + 2);
  // A replica that is slow to confirm is none of the user's.
  expect(cluster.nodes.flatMap(({ log }) => log).filter(({ msg }) => msg.includes('does not permit'))).toEqual([]);
  expect(await admin.call('ACL', 'LOG')).toEqual([]);

  const confined = new Redis(redis.url.replace('redis://', 'redis://fanfare:password@'));
  await expect(confined.set('other', '1')).rejects.toThrow('NOPERM');
  await expect(confined.flushall()).rejects.toThrow('NOPERM');
  await expect(confined.config('GET', '*')).rejects.toThrow('NOPERM');
  confined.disconnect();
  admin.disconnect();
  await Promise.all([writer.close(), reader.close()]);
});
