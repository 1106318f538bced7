/** What `fanfare shards` refuses before it changes anything: mistakes of the operator. */
import { type RedisShards, startRedisShards } from '@fanfare/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Change,
  changeShards,
  listShards,
  rename,
  ShardsUsageError,
  statusOf,
} from '../src/shards/shards-command.js';
import { startCluster, type TestCluster } from './harness.js';

describe('a wrong URL', () => {
  it.each([
    ['redis://127.0.0.1:1', 'does not list shards. Write redis+shards://'],
    ['unix:///run/redis.sock', 'does not list shards. Write redis+shards://'],
    ['redis+sentinel://127.0.0.1:1/red', 'does not list shards. Write redis+shards://'],
    ['redis+cluster://127.0.0.1:1', 'names a Redis Cluster. Move its slots with redis-cli'],
    ['redis+shards://127.0.0.1:1;127.0.0.1:1', 'lists the same Redis'],
    ['redis+shards://127.0.0.1:1,127.0.0.1:2', 'has a "," in a list of shards'],
    ['redis+shards://127.0.0.1:1;', 'has an empty entry'],
    ['redis+shards://', 'has no shards'],
    ['redis+shards://127.0.0.1:0', 'has an invalid port'],
    ['redis+shards+sentinel://127.0.0.1:1', 'has no master name'],
    ['http://127.0.0.1:1', 'has an unknown scheme'],
    ['127.0.0.1:1', 'is not a URL'],
  ])('is wrong usage: %s', async (url, message) => {
    const options = { isDryRun: false, signal: new AbortController().signal };
    const calls = [
      listShards(url),
      statusOf(url),
      changeShards(url, { name: 'add', shard: '127.0.0.1:1' }, options),
      rename(url, '127.0.0.1:1', '127.0.0.1:2'),
    ];
    for (const [index, call] of (await Promise.allSettled(calls)).entries()) {
      const error = call.status === 'rejected' ? call.reason : null;
      expect(error, String(index)).toBeInstanceOf(ShardsUsageError);
      expect(error.message).toContain(message);
    }
  });
});

describe('wrong arguments', () => {
  let servers: RedisShards;
  let cluster: TestCluster;
  beforeAll(async () => {
    servers = await startRedisShards(2);
    cluster = await startCluster({ redis: servers });
  });
  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]();
    await servers?.[Symbol.asyncDispose]();
  });

  it.each<[(shard: string) => Change, string]>([
    [() => ({ name: 'add', shard: 'a:1' }), 'a:1 is not in the list of shards'],
    [() => ({ name: 'remove', shard: 'a:1' }), 'a:1 is not in the list of shards'],
    [(shard) => ({ name: 'move', partitions: '3-1', shard }), '"3-1" is not a list of partitions'],
    [(shard) => ({ name: 'move', partitions: '', shard }), '"" is not a list of partitions'],
    [(shard) => ({ name: 'move', partitions: '64', shard }), 'There is no partition 64. Partitions are 0-63.'],
  ])('are wrong usage: %#', async (changeOf, message) => {
    const options = { isDryRun: true, signal: new AbortController().signal };
    const change = changeOf(`127.0.0.1:${servers.servers[1]?.port}`);
    const failing = changeShards(servers.url, change, options);
    await expect(failing).rejects.toThrow(message);
    await expect(failing).rejects.toBeInstanceOf(ShardsUsageError);
  });

  it.each([
    ['a:1', 'a:1', 'a:1 has this name already'],
    ['a:1', 'b:1', 'a:1 is not in the list of shards'],
    ['a:1', 'b:1/2', '"b:1/2" is not the name of a shard'],
  ])('of rename are wrong usage: %s %s', async (from, to, message) => {
    await expect(rename(servers.url, from, to)).rejects.toThrow(message);
    await expect(rename(servers.url, from, to)).rejects.toBeInstanceOf(ShardsUsageError);
  });
});
