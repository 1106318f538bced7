/** `fanfare shards` with real nodes and real shards. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RedisShards, redisCommand, startRedis, startRedisShards } from '@fanfare/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../../broker/test/harness.js';
import { until } from '../../broker/test/wait.js';
import { run, start } from './cli.js';

let servers: RedisShards;
let cluster: TestCluster;
let names: readonly string[];

const urlOf = (...shards: readonly number[]): string =>
  `redis+shards://${shards.map((index) => names[index]).join(';')}`;
const portOf = (index: number): number => servers.servers[index]?.port ?? 0;
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
    await redisCommand(portOf(1), ['DEL', 'fanfare:map:applied']);
    const unreported = await fanfare('shards', 'status');
    expect(unreported).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^fanfare: The node node-\d \(\w{16}\) does not report a map yet/),
    });
    await redisCommand(portOf(1), ['CLIENT', 'KILL', 'TYPE', 'NORMAL', 'SKIPME', 'YES']);
    await until('the nodes report again', async () => (await fanfare('shards', 'status')).code === 0);
    expect(await fanfare('shards', 'move', '0,9', names[1] as string)).toMatchObject({ code: 0 });
    const removed = await fanfare('shards', 'remove', names[1] as string);
    expect(removed.err).toMatch(/has no partitions now\. Remove it from FANFARE_REDIS_URL of all nodes\.\n$/);
    expect((await fanfare('shards', 'list')).out).toContain(`${names[0]}  16 partitions: 0-15\n`);
  });

  it('stops after a partition at SIGTERM, and continues when it is run again', async () => {
    await using adding = start(['shards', 'add', names[1] as string], { env: { FANFARE_REDIS_URL: urlOf(0, 1) } });
    await adding.until('a partition has moved', ({ err }) => err.includes('Publications waited'));
    adding.child.kill('SIGTERM');
    const { code, err } = await adding.end();
    expect(err).toContain('Stopping after this partition.');
    expect(err).toMatch(/fanfare: Stopped after \d of 8 partitions\. Run the command again to continue\.\n$/);
    expect(code).toBe(143);
    expect(await fanfare('shards', 'add', names[1] as string)).toMatchObject({ code: 0 });
    expect(await fanfare('shards', 'remove', names[1] as string)).toMatchObject({ code: 0 });
  });

  it('names an unfinished move before it plans others', async () => {
    const [from = '', to = ''] = names;
    // What a command leaves that was killed.
    const map = JSON.parse(String(await redisCommand(portOf(0), ['GET', 'fanfare:map'])));
    const begun = { ...map, version: map.version + 1, moving: { 5: { from, to, step: 'prepare' } } };
    for (const index of [0, 1]) await redisCommand(portOf(index), ['SET', 'fanfare:map', JSON.stringify(begun)]);
    await redisCommand(portOf(0), ['SPUBLISH', 'fanfare:control', 'map']);
    expect(await fanfare('shards', 'remove', to, '--dry-run')).toEqual({
      code: 0,
      out: `5  ${from} -> ${to}\n5  ${to} -> ${from}\n`,
      err: `Partition 5 is moving from ${from} to ${to} already. The command ends this move first.\n1 partition would move.\n`,
    });
    expect(await fanfare('shards', 'remove', to)).toMatchObject({ code: 0 });
    expect((await fanfare('shards', 'list')).out).toContain(`${from}  16 partitions: 0-15\n`);
  });

  it('refuses what the nodes could not follow', async () => {
    const missing = await fanfare('shards', 'add', names[2] as string);
    expect(missing).toMatchObject({ code: 2, err: expect.stringContaining('is not in the list of shards') });
    const notListed = await fanfare('shards', 'add', names[2] as string, '--redis', urlOf(0, 1, 2));
    expect(notListed).toMatchObject({
      code: 1,
      err: expect.stringMatching(
        /^fanfare: 2 nodes of 2 do not use \S+: node-\d \(\w{16}\), node-\d \(\w{16}\)\. Start all nodes with/,
      ),
    });
    expect(await fanfare('shards', 'remove', names[0] as string)).toMatchObject({
      code: 1,
      err: expect.stringContaining('has all partitions. Add another shard first'),
    });
  });

  // broker/test/shards-usage.test.ts has all wrong URLs.
  it.each([
    [['list', '--redis', 'redis://127.0.0.1:1'], 'does not list shards. Write redis+shards://'],
    [['list', '--redis', ''], 'No Redis is given. Pass --redis'],
    [['add'], "missing required argument 'shard'"],
  ])('explains wrong use, with exit code 2: %j', async (args, message) => {
    expect(await fanfare('shards', ...args)).toMatchObject({ code: 2, err: expect.stringContaining(message) });
  });

  it('takes the URL from the file that the nodes use', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fanfare-shards-'));
    const file = join(folder, 'url');
    await writeFile(file, `${urlOf(0, 1)}\n`);
    const env = { FANFARE_REDIS_URL_FILE: file };
    expect(await run(['shards', 'list'], { env })).toMatchObject({ code: 0 });
    const missing = await run(['shards', 'list'], { env: { FANFARE_REDIS_URL_FILE: join(folder, 'none') } });
    expect(missing).toMatchObject({ code: 2, err: expect.stringContaining('FANFARE_REDIS_URL_FILE') });
    // The option counts more, and so does the variable.
    expect(await run(['shards', 'list', '--redis', urlOf(0, 1)], { env })).toMatchObject({ code: 0 });
    const both = { FANFARE_REDIS_URL_FILE: join(folder, 'none'), FANFARE_REDIS_URL: urlOf(0, 1) };
    expect(await run(['shards', 'list'], { env: both })).toMatchObject({ code: 0 });
    await rm(folder, { recursive: true });
  });

  it('names a shard that does not respond, or that belongs to a Redis Cluster', async () => {
    const silent = await fanfare('shards', 'list', '--redis', 'redis+shards://127.0.0.1:1');
    expect(silent).toMatchObject({
      code: 1,
      err: expect.stringContaining('127.0.0.1:1: Redis refuses the connection'),
    });
    await using member = await startRedis({ args: ['--cluster-enabled', 'yes'] });
    const clustered = await fanfare('shards', 'list', '--redis', `${urlOf(0)};127.0.0.1:${member.port}`);
    expect(clustered).toEqual({
      code: 1,
      out: '',
      err: `fanfare: 127.0.0.1:${member.port}: This server belongs to a Redis Cluster, so it cannot be a shard. List only Redis servers without cluster mode (cluster-enabled no).\n`,
    });
  });

  it('explains wrong partitions', async () => {
    const to = names[1] as string;
    expect(await fanfare('shards', 'move', '16', to)).toMatchObject({
      code: 2,
      err: expect.stringContaining('There is no partition 16. Partitions are 0-15.'),
    });
  });

  it('gives a shard another name', async () => {
    const [old = ''] = names;
    const renamed = old.replace('127.0.0.1', 'localhost');
    const url = urlOf(0, 1).replace(old, renamed);
    expect(await fanfare('shards', 'rename', old, names[2] as string)).toMatchObject({
      code: 1,
      err: expect.stringContaining(`${old} and ${names[2]} are different Redis servers`),
    });
    expect(await fanfare('shards', 'rename', old, renamed)).toEqual({
      code: 0,
      out: '',
      err: `${old} is called ${renamed} now. Write ${renamed} instead in FANFARE_REDIS_URL of all nodes, and restart them.\n`,
    });
    for (const list of [urlOf(0, 1), url]) {
      const { out } = await fanfare('shards', 'list', '--redis', list);
      expect(out).toBe(`${renamed}  16 partitions: 0-15\n${names[1]}  no partitions\n`);
      expect(await fanfare('shards', 'status', '--redis', list)).toMatchObject({ code: 0 });
    }
    const back = await fanfare('shards', 'rename', renamed, old, '--redis', url);
    expect(back).toMatchObject({ code: 0 });
    expect(await fanfare('shards', 'status')).toMatchObject({ code: 0 });
  });
});
