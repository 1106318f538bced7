/** `fanfare shards` with real nodes and real shards. */
import { type RedisShards, redisCommand, startRedisShards } from '@fanfare/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../../broker/test/harness.js';
import { until } from '../../broker/test/wait.js';
import { run } from './cli.js';

let servers: RedisShards;
let cluster: TestCluster;
let names: readonly string[];

const urlOf = (...shards: readonly number[]): string =>
  `redis+shards://${shards.map((index) => names[index]).join(';')}`;
const fanfare = (...args: string[]) =>
  run(args, {
    // A Redis of a busy machine that is late does not hang.
    env: { FANFARE_REDIS_URL: urlOf(0, 1), FANFARE_REDIS_TIMEOUT_MS: '5000' },
  });

beforeAll(async () => {
  servers = await startRedisShards(3);
  names = servers.servers.map(({ port }) => `127.0.0.1:${port}`);
  // The first nodes know only one shard.
  await using first = await startCluster({
    redis: false,
    env: { FANFARE_REDIS_URL: urlOf(0), FANFARE_REDIS_PARTITIONS: '16' },
  });
  await until('there is a map', async () => (await fanfare('shards', 'list', '--redis', urlOf(0))).code === 0);
  expect(first.nodes).toHaveLength(1);
  cluster = await startCluster({
    nodes: 2,
    redis: false,
    env: { FANFARE_REDIS_URL: urlOf(0, 1), FANFARE_REDIS_PARTITIONS: '16' },
  });
});

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await servers?.[Symbol.asyncDispose]();
});

describe('fanfare shards', () => {
  it('adds a shard and removes it again, in steps that can be seen', async () => {
    expect(await fanfare('shards', 'list')).toEqual({
      code: 0,
      out: `${names[0]}  16 partitions: 0-15\n${names[1]}  no partitions\n`,
      err: '',
    });
    const dry = await fanfare('shards', 'add', names[1] as string, '--dry-run');
    expect(dry).toMatchObject({ code: 0, err: '8 partitions would move.\n' });
    expect(dry.out.split('\n')[0]).toBe(`15  ${names[0]} -> ${names[1]}`);
    const added = await fanfare('shards', 'add', names[1] as string);
    expect(added).toEqual({ code: 0, out: '', err: expect.stringMatching(/8 partitions moved to \S+\.\n$/) });
    expect(added.err).toMatch(/^Partition 15: from \S+ to \S+ in \d+ ms\. Publications waited for \d+ ms\.\n/);
    expect((await fanfare('shards', 'list')).out).toBe(
      `${names[0]}  8 partitions: 0-7\n${names[1]}  8 partitions: 8-15\n`,
    );
    expect(await fanfare('shards', 'list', '--redis', urlOf(0))).toEqual({
      code: 1,
      out: '',
      err: `fanfare: The map of partitions uses ${names[1]}, which FANFARE_REDIS_URL does not list. Add it.\n`,
    });
    expect(await fanfare('shards', 'add', names[1] as string)).toMatchObject({ code: 0, err: 'Nothing to move.\n' });
    await until('all is well', async () => (await fanfare('shards', 'status')).code === 0);
    expect((await fanfare('shards', 'status')).out).toMatch(
      /^Version \d+ of the map: 16 partitions in 2 shards\.\n\S+ {2}8 partitions, 2 nodes\n\S+ {2}8 partitions, 2 nodes\n$/,
    );
    // Nodes report again what a shard did not get, or has lost.
    const { port = 0 } = servers.servers[1] ?? {};
    await redisCommand(port, ['DEL', 'fanfare:map:applied']);
    const unreported = await fanfare('shards', 'status');
    expect(unreported).toMatchObject({ code: 1, err: expect.stringContaining('does not report a map yet') });
    await redisCommand(port, ['CLIENT', 'KILL', 'TYPE', 'NORMAL', 'SKIPME', 'YES']);
    await until('the nodes report again', async () => (await fanfare('shards', 'status')).code === 0);
    expect(await fanfare('shards', 'move', '0,9', names[1] as string)).toMatchObject({ code: 0 });
    const removed = await fanfare('shards', 'remove', names[1] as string);
    expect(removed.err).toMatch(/has no partitions now\. Remove it from FANFARE_REDIS_URL of all nodes\.\n$/);
    expect((await fanfare('shards', 'list')).out).toContain(`${names[0]}  16 partitions: 0-15\n`);
  });

  it('refuses what the nodes could not follow', async () => {
    const missing = await fanfare('shards', 'add', names[2] as string);
    expect(missing).toMatchObject({ code: 1, err: expect.stringContaining('is not in the list of shards') });
    const notListed = await fanfare('shards', 'add', names[2] as string, '--redis', urlOf(0, 1, 2));
    expect(notListed).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^fanfare: 2 nodes of 2 do not use \S+ \(\w+, \w+\)\. Start all nodes with/),
    });
    expect(await fanfare('shards', 'remove', names[0] as string)).toMatchObject({
      code: 1,
      err: expect.stringContaining('has all partitions. Add another shard first'),
    });
  });

  it.each([
    [['list', '--redis', 'redis://127.0.0.1:1'], 1, 'does not list shards. Write redis+shards://'],
    [['list', '--redis', 'redis+shards://127.0.0.1:1;127.0.0.1:1'], 1, 'lists the same Redis'],
    [['list', '--redis', ''], 2, 'Which Redis? Pass --redis'],
    [['list', '--redis', 'redis+shards://127.0.0.1:1'], 1, '127.0.0.1:1'],
    [['move', 'x', '127.0.0.1:1'], 1, 'is not in the list of shards'],
    [['add'], 2, "missing required argument 'shard'"],
  ])('explains wrong use: %j', async (args, code, message) => {
    expect(await fanfare('shards', ...args)).toMatchObject({ code, err: expect.stringContaining(message) });
  });

  it('explains wrong partitions', async () => {
    const to = names[1] as string;
    expect((await fanfare('shards', 'move', '3-1', to)).err).toContain('"3-1" is not a list of partitions');
    expect((await fanfare('shards', 'move', '16', to)).err).toContain('There is no partition 16. Partitions are 0-15.');
  });
});
