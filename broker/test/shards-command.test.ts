/** What `fanfare shards` plans and reports, with real nodes: what moves, what is unfinished, and which node is late. */
import {
  type RedisProcess,
  type RedisShards,
  redisCommand,
  startRedisShards,
  startSentinel,
} from '@fanfare/local-cluster';
import type { Topic } from '@fanfare/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../src/index.js';
import { Partitions } from '../src/relay/partitions.js';
import { formatMap, mapOfOne, type PlannedMove } from '../src/relay/shard-map.js';
import { openShards } from '../src/shards/open-shards.js';
import { type Change, changeShards, listShards, statusOf } from '../src/shards/shards-command.js';
import { startCluster, type TestCluster } from './harness.js';
import { until } from './wait.js';

const partitions = new Partitions(16);
/** A Redis of a busy machine that is late is not down for the Sentinel, in milliseconds. */
const calmMs = 60_000;

let redisShards: RedisShards;
let servers: readonly RedisProcess[];
let names: readonly [string, string, string];
let url: string;

beforeAll(async () => {
  redisShards = await startRedisShards(3);
  servers = redisShards.servers;
  names = servers.map(({ port }) => `127.0.0.1:${port}`) as [string, string, string];
  url = redisShards.url;
});

afterAll(async () => {
  await redisShards?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  for (const { port } of servers) await redisCommand(port, ['FLUSHALL']);
});

function portOf(index: number): number {
  return (servers[index] as RedisProcess).port;
}

function startNodes(redisUrl: string): Promise<TestCluster> {
  const env = { FANFARE_REDIS_URL: redisUrl, FANFARE_REDIS_PARTITIONS: String(partitions.count) };
  return startCluster({ redis: false, env });
}

const change = (what: Change, redisUrl = url): Promise<readonly PlannedMove[]> =>
  changeShards(redisUrl, what, { isDryRun: false, signal: new AbortController().signal });

async function dryRun(what: Change) {
  const unfinished: PlannedMove[] = [];
  const moves = await changeShards(url, what, {
    isDryRun: true,
    onUnfinished: (move) => unfinished.push(move),
    signal: new AbortController().signal,
  });
  return { moves, unfinished };
}

/** Writes a map before the nodes start. `shards`: of each partition. */
async function writeMap(shards: readonly string[]): Promise<void> {
  const map = { ...mapOfOne('', partitions.count), shards };
  for (const index of servers.keys()) await redisCommand(portOf(index), ['SET', 'fanfare:map', formatMap(map)]);
}

/** A partition, its shard and another shard. */
async function partitionToMove(redisUrl: string): Promise<readonly [partition: number, from: string, to: string]> {
  await using opened = await openShards({ ...loadConfig({ FANFARE_REDIS_URL: redisUrl }), redisUrl });
  const [from = '', to = ''] = opened.shards.names;
  return [(await opened.shards.readMap()).shards.lastIndexOf(from), from, to];
}

function topicIn(partition: number): string {
  for (let number = 0; ; number++) if (partitions.of(`t.${number}` as Topic) === partition) return `t.${number}`;
}

describe('fanfare shards remove', () => {
  it('moves only the partitions of this shard, and keeps what was moved by hand', async () => {
    // 10 partitions in the first shard, 4 in the second, 2 in the third.
    const [first, second, third] = names;
    await writeMap(Array.from({ length: 16 }, (_, at) => (at < 10 ? first : at < 14 ? second : third)));
    await using cluster = await startNodes(url);
    const writer = await cluster.connect();
    const what = { name: 'remove', shard: third } as const;
    const plan = [
      { partition: 15, from: third, to: second },
      { partition: 14, from: third, to: second },
    ];
    expect(await dryRun(what)).toEqual({ moves: plan, unfinished: [] });
    expect(await change(what)).toEqual(plan);
    expect(await listShards(url)).toEqual([
      `${first}  10 partitions: 0-9`,
      `${second}  6 partitions: 10-15`,
      `${third}  no partitions`,
    ]);
    // Again, there is nothing to move.
    expect(await change(what)).toEqual([]);
    expect(await writer.publish('t', 1)).toMatchObject({ type: 'published' });
  });
});

describe('fanfare shards --dry-run', () => {
  it('names an unfinished move, and plans with the map that this move leads to', async () => {
    const [first, second, third] = names;
    await writeMap(Array.from({ length: 16 }, (_, at) => (at < 14 ? first : second)));
    await using cluster = await startNodes(url);
    expect(cluster.nodes).toHaveLength(1);
    const begun = { partition: 3, from: first, to: third };
    const settings = { ...loadConfig({ FANFARE_REDIS_URL: url }), redisUrl: url };
    const onStep = (): void => {
      throw new Error('killed');
    };
    await using opened = await openShards(settings, { onStep });
    await opened.shards.lock();
    await expect(opened.shards.carryOut([begun])).rejects.toThrow('killed');
    await opened.shards.unlock();
    const removal = await dryRun({ name: 'remove', shard: third });
    expect(removal).toEqual({ moves: [begun, { partition: 3, from: third, to: second }], unfinished: [begun] });
    const addition = await dryRun({ name: 'add', shard: third });
    expect(addition.unfinished).toEqual([begun]);
    expect(addition.moves.slice(1).map(({ partition }) => partition)).not.toContain(3);
    // One of the five partitions of the new shard is the begun one.
    expect(addition.moves.filter(({ to }) => to === third)).toHaveLength(5);
    const { problems } = await statusOf(url);
    expect(problems[0]).toContain('Partition 3 moves from');
    expect(await dryRun({ name: 'move', partitions: '3', shard: third })).toEqual({
      moves: [begun],
      unfinished: [begun],
    });
  });
});

describe('fanfare shards status', () => {
  it('names a node that has applied only an older map', async () => {
    await using cluster = await startNodes(url);
    expect(cluster.nodes).toHaveLength(1);
    await until('all nodes report', async () => (await statusOf(url)).problems.length === 0);
    const [partition, , to] = await partitionToMove(url);
    await change({ name: 'move', partitions: String(partition), shard: to });
    // A node that sends heartbeats and has not followed.
    const clock = String(await redisCommand(portOf(0), ['GET', 'fanfare:clock']));
    await redisCommand(portOf(0), ['ZADD', 'fanfare:nodes', clock, 'late']);
    await redisCommand(portOf(0), ['HSET', 'fanfare:connections', 'late', '1 node-9']);
    await redisCommand(portOf(0), ['HSET', 'fanfare:map:applied', 'late', `1 ${clock}`]);
    const { lines, problems } = await statusOf(url);
    expect(problems).toEqual([
      'The node node-9 (late) has applied only version 1 of the map. If this stays so, /readyz of a node says what is wrong.',
    ]);
    expect(lines[0]).toBe('Version 6 of the map: 16 partitions in 3 shards.');
  });
});

/** Moves a partition from one shard to the other, and publishes to one of its topics before and after. */
async function moveAndPublish(redisUrl: string): Promise<void> {
  await using cluster = await startNodes(redisUrl);
  const [partition, from, to] = await partitionToMove(redisUrl);
  const topic = topicIn(partition);
  const [writer, reader] = [await cluster.connect(), await cluster.subscriber(topic)];
  expect(await writer.publish(topic, 1)).toMatchObject({ type: 'published', position: { offset: 1 } });
  expect(await change({ name: 'move', partitions: String(partition), shard: to }, redisUrl)).toEqual([
    { partition, from, to },
  ]);
  expect(await writer.publish(topic, 2)).toMatchObject({ type: 'published', position: { offset: 2 } });
  expect(await reader.take(topic, 2)).toEqual([1, 2]);
  await until('all nodes report', async () => (await statusOf(redisUrl)).problems.length === 0);
}

describe('a partition moves', () => {
  it('between shards with different logins', async () => {
    const logins = ['one:p1', 'two:p2'].map((login, index) => `${login}@${names[index]}`);
    for (const [index, user] of ['one', 'two'].entries())
      await redisCommand(portOf(index), ['ACL', 'SETUSER', user, 'reset', 'on', `>p${index + 1}`, '~*', '&*', '+@all']);
    await moveAndPublish(`redis+shards://${logins.join(';')}`);
  });

  it('between masters that Sentinels name', async () => {
    await using sentinel = await startSentinel({
      masterName: 'red',
      masterPort: portOf(0),
      downAfterMs: calmMs,
      lines: [`sentinel monitor blue 127.0.0.1 ${portOf(1)} 1`, `sentinel down-after-milliseconds blue ${calmMs}`],
    });
    const sentinels = `127.0.0.1:${sentinel.port}`;
    await moveAndPublish(`redis+shards+sentinel://${sentinels}/red;${sentinels}/blue`);
  });
});
