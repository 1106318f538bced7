/** Lists of shards and maps of partitions that are wrong: nodes and `fanfare shards` say so, and damage nothing. */
import { type RedisProcess, type RedisShards, redisCommand, startRedisShards } from '@fanfare/local-cluster';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../src/index.js';
import { firstMap, formatMap, mapOfOne } from '../src/relay/shard-map.js';
import { type OpenShards, openShards } from '../src/shards/open-shards.js';
import { startCluster, type TestNode } from './harness.js';
import { until } from './wait.js';

let redisShards: RedisShards;
let servers: readonly RedisProcess[];

beforeAll(async () => {
  redisShards = await startRedisShards(2);
  servers = redisShards.servers;
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

function nameOf(index: number, host = '127.0.0.1'): string {
  return `${host}:${portOf(index)}`;
}

function listOf(...names: readonly string[]): string {
  return `redis+shards://${names.join(';')}`;
}

function startNodes(redisUrl: string, waitReady = true) {
  return startCluster({
    redis: false,
    env: { FANFARE_REDIS_PARTITIONS: '16', FANFARE_REDIS_URL: redisUrl },
    waitReady,
  });
}

function open(redisUrl: string): Promise<OpenShards> {
  return openShards({ ...loadConfig({ FANFARE_REDIS_URL: redisUrl }), redisUrl });
}

/** Resolves when the node is not ready for this reason. */
async function untilRefused(node: TestNode, reason: string): Promise<void> {
  await until(`the node says "${reason}"`, async () => (await node.readiness()).reason.includes(reason));
  expect((await node.readiness()).status).toBe(503);
}

function keysAt(index: number): Promise<unknown> {
  return redisCommand(portOf(index), ['KEYS', '*']);
}

describe('a Redis under two names in the list', () => {
  it('gets no map, because a move would delete what it has copied', async () => {
    const list = listOf(nameOf(0, 'localhost'), nameOf(0));
    await using cluster = await startNodes(list, false);
    await untilRefused(cluster.node(), `${nameOf(0, 'localhost')} and ${nameOf(0)} are the same Redis. Remove one`);
    expect(await keysAt(0)).toEqual([]);
  });

  it('is refused by a node and by the command if there is a map already', async () => {
    await using cluster = await startNodes(listOf(nameOf(0), nameOf(1)));
    expect(await cluster.node().readiness()).toMatchObject({ status: 200 });
    const list = listOf(nameOf(0), nameOf(1), nameOf(1, 'localhost'));
    await expect(open(list)).rejects.toThrow(`${nameOf(1)} and ${nameOf(1, 'localhost')} are the same Redis.`);
    await using other = await startNodes(list, false);
    await untilRefused(other.node(), 'are the same Redis');
  });
});

describe('a node whose URL names one Redis', () => {
  it('does not use one of several shards: the other nodes would not get what it publishes', async () => {
    await using cluster = await startNodes(listOf(nameOf(0), nameOf(1)));
    expect(cluster.nodes).toHaveLength(1);
    await using other = await startNodes(`redis://${nameOf(0)}`, false);
    await untilRefused(other.node(), 'The map of partitions in this Redis uses the shards');
    expect(other.node().log.map(({ event }) => event)).toContain('shardMapFault');
    const connection = await other.connect();
    expect(await connection.publish('news', 1)).toMatchObject({ type: 'error', code: 'unavailable' });
  });

  it('works together with nodes that list it as the only shard, also by another name', async () => {
    await using first = await startNodes(`redis://${nameOf(0, 'localhost')}`);
    await using cluster = await startNodes(listOf(nameOf(0), nameOf(1)));
    await using other = await startNodes(`redis://${nameOf(0, 'localhost')}`);
    const reader = await other.subscriber('news');
    for (const [index, { nodes }] of [first, cluster].entries()) {
      expect(nodes).toHaveLength(1);
      const connection = await (index === 0 ? first : cluster).connect();
      expect(await connection.publish('news', index)).toMatchObject({ type: 'published' });
    }
    expect(await reader.take('news', 2)).toEqual([0, 1]);
  });

  it('does not use a Redis that has given all its partitions away', async () => {
    const map = { ...mapOfOne(nameOf(1), 16), version: 34 };
    await redisCommand(portOf(0), ['SET', 'fanfare:map', formatMap(map)]);
    await using cluster = await startNodes(`redis://${nameOf(0)}`, false);
    await untilRefused(cluster.node(), `uses the shards ${nameOf(1)}. List all of them`);
    await redisCommand(portOf(0), ['DEL', 'fanfare:map']);
    await until('it is ready', async () => (await cluster.node().readiness()).status === 200);
  });
});

describe('a map that another program has written', () => {
  it.each([
    ['{"version":7,"partitions":16,"shards":{}}', 'is not valid: partition 0 is in no shard'],
    ['{"version":7,"partitions":1000000000,"shards":{}}', 'is not valid: its number of partitions'],
    ['{"version":7,', 'is not valid: it is not JSON'],
  ])('is refused with the name of its shard, until it is deleted: %s', async (text, reason) => {
    await using cluster = await startNodes(listOf(nameOf(0), nameOf(1)));
    const map = formatMap(firstMap([nameOf(0), nameOf(1)], 16));
    expect(await redisCommand(portOf(1), ['GET', 'fanfare:map'])).toBe(map);
    await redisCommand(portOf(1), ['SET', 'fanfare:map', text]);
    await redisCommand(portOf(1), ['SPUBLISH', 'fanfare:control', 'map']);
    await untilRefused(cluster.node(), `${nameOf(1)}: The map of partitions in this shard ${reason}`);
    await expect(open(listOf(nameOf(0), nameOf(1)))).rejects.toThrow(`${nameOf(1)}: The map of partitions in this`);
    await redisCommand(portOf(1), ['DEL', 'fanfare:map']);
    // The node learns it with its next connection.
    await redisCommand(portOf(1), ['CLIENT', 'KILL', 'TYPE', 'NORMAL', 'SKIPME', 'YES']);
    await until('it writes the map', async () => (await redisCommand(portOf(1), ['GET', 'fanfare:map'])) === map);
    await until('it is ready', async () => (await cluster.node().readiness()).status === 200);
  });
});

describe('a map that a node cannot follow', () => {
  it.each([
    ['of the same version', mapOfOne('other:1', 16), 'different maps of version 1'],
    ['with an unknown shard', { ...mapOfOne('other:1', 16), version: 9 }, 'The map of partitions uses other:1'],
    [
      'with another number of partitions',
      { ...mapOfOne('other:1', 32), version: 9 },
      'has 32 partitions, and FANFARE_',
    ],
  ])('%s is a fault only until it is corrected', async (_, map, reason) => {
    await using cluster = await startNodes(listOf(nameOf(0), nameOf(1)));
    const before = String(await redisCommand(portOf(1), ['GET', 'fanfare:map']));
    await redisCommand(portOf(1), ['SET', 'fanfare:map', formatMap(map)]);
    await redisCommand(portOf(1), ['SPUBLISH', 'fanfare:control', 'map']);
    await untilRefused(cluster.node(), reason);
    await redisCommand(portOf(1), ['SET', 'fanfare:map', before]);
    await until('it is ready', async () => (await cluster.node().readiness()).status === 200);
  });
});

describe('a key that another program has written', () => {
  it.each([
    ['of another type', ['RPUSH', 'fanfare:map', 'x']],
    ['with another value', ['SET', 'fanfare:epoch', 'x']],
  ])('%s is reported as what it is', async (_, command) => {
    await redisCommand(portOf(1), command);
    await using cluster = await startNodes(listOf(nameOf(0), nameOf(1)), false);
    const sentence = 'Another program has changed keys of FANFARE_REDIS_PREFIX in Redis';
    await until('the node says so', async () => (await cluster.node().readiness()).reason.includes(sentence));
  });
});

describe('a command that cannot lock all shards', () => {
  it('leaves no lock behind', async () => {
    await using cluster = await startNodes(listOf(nameOf(0), nameOf(1)));
    expect(cluster.nodes).toHaveLength(1);
    for (const [index, denied] of [[0], [1, '-set']] as const) {
      const rules = ['reset', 'on', '>p', '~*', '&*', '+@all', ...(denied === undefined ? [] : [denied])];
      await redisCommand(portOf(index), ['ACL', 'SETUSER', 'operator', ...rules]);
    }
    await using opened = await open(listOf(`operator:p@${nameOf(0)}`, nameOf(1)));
    await expect(opened.shards.lock()).rejects.toThrow(`${nameOf(1)}: Redis does not permit the command SET`);
    for (const index of [0, 1]) expect(await redisCommand(portOf(index), ['GET', 'fanfare:map:lock'])).toBeNull();
  });
});

describe('a replica in the list', () => {
  it('gets no partitions with the first map, and is named', async () => {
    await redisCommand(portOf(1), ['REPLICAOF', '127.0.0.1', String(portOf(0))]);
    await using cluster = await startNodes(listOf(nameOf(0), nameOf(1)), false);
    await untilRefused(
      cluster.node(),
      `${nameOf(1)} cannot be used. It may have data, so this node waits for it. Redis is`,
    );
    expect(await redisCommand(portOf(0), ['GET', 'fanfare:map'])).toBeNull();
    await redisCommand(portOf(1), ['REPLICAOF', 'NO', 'ONE']);
    await until('it is ready', async () => (await cluster.node().readiness()).status === 200);
  });
});

describe('a node whose only shard with partitions is full', () => {
  it('is not ready, although it is connected to another one', async () => {
    await redisCommand(portOf(0), ['SET', 'fanfare:map', formatMap(mapOfOne(nameOf(0), 16))]);
    await using cluster = await startNodes(listOf(nameOf(0), nameOf(1)));
    await redisCommand(portOf(0), ['CONFIG', 'SET', 'maxmemory', '1']);
    await untilRefused(cluster.node(), 'Redis is out of memory');
    await redisCommand(portOf(0), ['CONFIG', 'SET', 'maxmemory', '0']);
    await until('it is ready', async () => (await cluster.node().readiness()).status === 200);
  });
});

describe('a Redis Cluster', () => {
  it('that is a plain Redis is refused with a sentence that names no server', async () => {
    await using cluster = await startNodes(`redis+cluster://${nameOf(0)}`, false);
    await untilRefused(cluster.node(), 'Redis is not connected. FANFARE_REDIS_URL names a Redis Cluster, but this');
  });

  it('whose hosts DNS does not know is refused with the names to check', async () => {
    await using cluster = await startNodes('redis+cluster://no-such-host.invalid', false);
    await untilRefused(cluster.node(), 'DNS has no address for a server of the Redis Cluster. Check the names in');
  });
});
