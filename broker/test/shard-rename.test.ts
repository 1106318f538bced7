/** A shard gets another name while clients publish: the same Redis by 127.0.0.1 and by localhost. */
import { type RedisProcess, type RedisShards, redisCommand, startRedisShards } from '@fanfare/local-cluster';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../src/index.js';
import { openShards } from '../src/shards/open-shards.js';
import { renameShard } from '../src/shards/rename-shard.js';
import { startCluster, type TestCluster } from './harness.js';
import type { TestConnection } from './test-connection.js';
import { until } from './wait.js';

let redisShards: RedisShards;
let servers: readonly RedisProcess[];

beforeAll(async () => {
  redisShards = await startRedisShards(3);
  servers = redisShards.servers;
});
afterAll(async () => {
  await redisShards?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  for (const { port } of servers) await redisCommand(port, ['FLUSHALL']);
});

function nameOf(index: number, host = '127.0.0.1'): string {
  return `${host}:${servers[index]?.port}`;
}

const urlOf = (...names: readonly string[]): string => `redis+shards://${names.join(';')}`;
const settingsFor = (redisUrl: string) => ({ ...loadConfig({ FANFARE_REDIS_URL: redisUrl }), redisUrl });

function startNodes(url: string, nodes = 1, waitReady = true): Promise<TestCluster> {
  const env = { FANFARE_REDIS_URL: url, FANFARE_REDIS_PARTITIONS: '16' };
  return startCluster({ nodes, redis: false, env, waitReady });
}

async function mapIn(index: number): Promise<string> {
  return String(await redisCommand(servers[index]?.port ?? 0, ['GET', 'fanfare:map']));
}

const topics = Array.from({ length: 12 }, (_, index) => `t${index}`);

async function publishAll(connection: TestConnection, data: number): Promise<void> {
  const replies = await Promise.all(topics.map((topic) => connection.publish(topic, data)));
  expect(replies.map(({ type }) => type)).toEqual(topics.map(() => 'published'));
}

describe('another name of a shard', () => {
  it('is followed by nodes with either name, without a refusal, a gap or a reset', async () => {
    const [old, renamed] = [nameOf(1), nameOf(1, 'localhost')];
    const [before, after] = [urlOf(nameOf(0), old), urlOf(nameOf(0), renamed)];
    await using cluster = await startNodes(before, 2);
    const [writer, reader] = [await cluster.connect(0), await cluster.connect(1)];
    for (const topic of topics) await reader.subscribe(topic);
    await publishAll(writer, 1);
    await using early = await startNodes(after, 1, false);
    await until('a node with the new name is refused', async () =>
      (await early.node().readiness()).reason.includes(
        `uses ${old}, which FANFARE_REDIS_URL of this node does not list`,
      ),
    );
    await renameShard(settingsFor(before), old, renamed);
    await publishAll(writer, 2);
    await until('it follows', async () => (await early.node().readiness()).status === 200);
    const [otherWriter, otherReader] = [await early.connect(), await early.connect()];
    for (const topic of topics) await otherReader.subscribe(topic);
    await publishAll(otherWriter, 3);
    await publishAll(writer, 4);
    for (const topic of topics) {
      expect(await reader.take(topic, 4)).toEqual([1, 2, 3, 4]);
      expect(await otherReader.take(topic, 2)).toEqual([3, 4]);
    }
    for (const { inbox } of [reader, otherReader])
      expect(inbox.waiting.filter(({ type }) => type === 'gap' || type === 'reset')).toEqual([]);
    // Again, as after a lost connection: with both lists.
    for (const url of [before, after]) await renameShard(settingsFor(url), old, renamed);
    expect(JSON.parse(await mapIn(1))).toMatchObject({ version: 2, renamed: { [old]: renamed } });
    for (const url of [before, after]) {
      await using opened = await openShards(settingsFor(url));
      expect(opened.shards.names).toEqual([nameOf(0), renamed]);
      // Partitions still move: both kinds of nodes follow.
      const [partition, from, to] = url === before ? ([0, 0, 1] as const) : ([0, 1, 0] as const);
      const place = (index: 0 | 1): string => (index === 0 ? nameOf(0) : renamed);
      const map = await opened.shards.lock();
      if (map.shards[partition] === place(from))
        await opened.shards.carryOut([{ partition, from: place(from), to: place(to) }]);
      await opened.shards.unlock();
    }
    await publishAll(writer, 5);
    for (const topic of topics) expect(await otherReader.take(topic, 1)).toEqual([5]);
  });

  it('is refused if it leads to another Redis, to none, or to a shard of the list', async () => {
    const url = urlOf(nameOf(0), nameOf(1));
    await using cluster = await startNodes(url);
    expect(cluster.nodes).toHaveLength(1);
    const before = await mapIn(0);
    const rename = (from: string, to: string) => renameShard(settingsFor(url), from, to);
    await expect(rename(nameOf(1), nameOf(2))).rejects.toThrow(/are different Redis servers.*Nothing was changed/);
    await expect(rename(nameOf(1), '127.0.0.1:1')).rejects.toThrow('127.0.0.1:1: Redis refuses the connection');
    await expect(rename(nameOf(1), nameOf(0))).rejects.toThrow('which would be two shards');
    await expect(rename(nameOf(2), nameOf(2, 'localhost'))).rejects.toThrow('is not in the list of shards');
    for (const name of ['', 'a b', 'a:0', 'a/b', 'u:p@a:1', 'a,b', 'redis://a:1'])
      await expect(rename(nameOf(1), name)).rejects.toThrow(`"${name}" is not the name of a shard`);
    expect(await mapIn(0)).toBe(before);
  });

  it('is refused while a partition moves, and while another command changes the map', async () => {
    const url = urlOf(nameOf(0), nameOf(1));
    await using cluster = await startNodes(url);
    expect(cluster.nodes).toHaveLength(1);
    const onStep = (): void => {
      throw new Error('killed');
    };
    await using opened = await openShards(settingsFor(url), { onStep });
    const map = await opened.shards.lock();
    const move = { partition: map.shards.indexOf(nameOf(0)), from: nameOf(0), to: nameOf(1) };
    await expect(opened.shards.carryOut([move])).rejects.toThrow('killed');
    const rename = () => renameShard(settingsFor(url), nameOf(1), nameOf(1, 'localhost'));
    await expect(rename()).rejects.toThrow('Another "fanfare shards" changes the map now');
    await opened.shards.unlock();
    await expect(rename()).rejects.toThrow(
      `Partition ${move.partition} is moving, so no shard can get another name now.`,
    );
  });
});

it('a list with the same Redis under two names is refused: a move between them would delete its data', async () => {
  await using cluster = await startNodes(urlOf(nameOf(0), nameOf(1)));
  expect(cluster.nodes).toHaveLength(1);
  const opening = openShards(settingsFor(urlOf(nameOf(0), nameOf(1), nameOf(1, 'localhost'))));
  await expect(opening).rejects.toThrow(`${nameOf(1)} and ${nameOf(1, 'localhost')} are the same Redis.`);
});
