/** Topics of level `durable` in a Redis Cluster: the partitions of a master share one connection, which WAIT blocks. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type RedisClusterProcess, type RedisProcess, redisCommand, startRedisCluster } from '@fanfare/local-cluster';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Partitions } from '../src/relay/partitions.js';
import { TopicPolicies } from '../src/topics/policy.js';
import { publishAcknowledged, topic } from './relay.contract.js';
import { startRelay, type TestRelay, untilConnected } from './test-relay.js';
import { until } from './wait.js';

const partitions = new Partitions(16);

/** A topic of each partition. */
const names = Array.from({ length: partitions.count }, (_, partition) => {
  for (let number = 0; ; number++) if (partitions.of(topic(`t${number}`)) === partition) return `t${number}`;
});

let cluster: RedisClusterProcess;
beforeAll(async () => {
  cluster = await startRedisCluster({ masters: 1 });
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

let prefixes = 0;

async function startDurable(durableTimeoutMs: number): Promise<TestRelay> {
  const node = startRelay({
    redisUrl: cluster.url,
    redisPrefix: `p${++prefixes}`,
    redisPartitions: partitions.count,
    redisTimeoutMs: 1_000,
    topics: new TopicPolicies([['>', { level: 'durable' }]]),
    durableTimeoutMs,
  });
  await untilConnected(node.relay);
  await until('durable publications are accepted', async () =>
    (await publishAll(node)).every((outcome) => outcome === 'accepted'),
  );
  return node;
}

/** Publishes to each partition in one turn. Resolves with `accepted` or the code of an error for each. */
async function publishAll({ relay }: TestRelay): Promise<readonly string[]> {
  const outcomes = await Promise.all(names.map((name) => publishAcknowledged(relay, name, 1)));
  return outcomes.map((outcome) => (outcome instanceof Error ? outcome.code : 'accepted'));
}

async function waitsAt({ port }: RedisProcess): Promise<number> {
  const info = String(await redisCommand(port, ['INFO', 'commandstats']));
  return Number(/cmdstat_wait:calls=(\d+)/.exec(info)?.[1] ?? 0);
}

it('publications of a turn to all partitions of a master wait for its replicas once', async () => {
  await using node = await startDurable(60_000);
  const master = await cluster.masterOf(partitions.slotOf(0));
  const before = await waitsAt(master);
  const outcomes = await publishAll(node);
  expect(outcomes).toEqual(names.map(() => 'accepted'));
  expect((await waitsAt(master)) - before).toBe(1);
});

it('publications to many partitions of a master whose replica hangs are unconfirmed, and the connection stays', async () => {
  const [replica] = await cluster.replicasOf(await cluster.masterOf(partitions.slotOf(0)));
  await using node = await startDurable(300);
  const { redisReconnects } = node.counters;
  await replica?.pause();
  const turns: Promise<readonly string[]>[] = [];
  for (let turn = 0; turn < 10; turn++) {
    turns.push(publishAll(node));
    await nextTurn();
  }
  expect(new Set((await Promise.all(turns)).flat())).toEqual(new Set(['unconfirmed']));
  expect(node.counters.redisReconnects).toBe(redisReconnects);
  await replica?.resume();
  await until('they are confirmed again', async () =>
    (await publishAll(node)).every((outcome) => outcome === 'accepted'),
  );
  await cluster.untilHealthy();
});
