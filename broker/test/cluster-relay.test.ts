/** The relay over a Redis Cluster while its slots move and its masters fail: nothing is lost, repeated or reordered. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  findFreePort,
  type RedisClusterProcess,
  type RedisProcess,
  redisCommand,
  startRedis,
  startRedisCluster,
} from '@fanfare/local-cluster';
import { ReplyError } from '@fanfare/protocol';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Partitions } from '../src/relay/partitions.js';
import { publishAcknowledged, topic } from './relay.contract.js';
import { startRelay, type TestRelay, untilConnected } from './test-relay.js';
import { until } from './wait.js';

let cluster: RedisClusterProcess;
beforeAll(async () => {
  cluster = await startRedisCluster();
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

let prefixes = 0;
const partitions = new Partitions(16);
const slotOf = (name: string): number => partitions.slotOf(partitions.of(topic(name)));

/** Two nodes that subscribe to the topic. */
async function startTwo(name: string, redisTimeoutMs = 10_000): Promise<readonly [TestRelay, TestRelay]> {
  const redisPrefix = `p${++prefixes}`;
  const settings = { redisUrl: cluster.url, redisPrefix, redisPartitions: partitions.count, redisTimeoutMs };
  const nodes = [startRelay(settings), startRelay(settings)] as const;
  for (const { relay } of nodes) {
    await untilConnected(relay);
    // On a busy machine, a master may seem to hang for a moment.
    const subscribe = (): Promise<boolean> =>
      relay.subscribe(topic(name), null).then(
        () => true,
        () => false,
      );
    await until('it is subscribed', subscribe);
  }
  return nodes;
}

it('sends the heartbeats of all partitions in one write to each master', async () => {
  const redisPrefix = `p${++prefixes}`;
  await using node = startRelay({ redisUrl: cluster.url, redisPrefix, redisPartitions: 64, redisTimeoutMs: 60_000 });
  await untilConnected(node.relay);
  const { probesSent, redisPipelines } = node.counters;
  await until('each partition has sent three probes', () => node.counters.probesSent >= probesSent + 3 * 64);
  // Each turn also measures the output buffers of the masters.
  expect(node.counters.redisPipelines - redisPipelines).toBeLessThan(64);
});

it('delivers everything that was accepted while a slot moves, and in a planned failover', async () => {
  const name = 'busy';
  const nodes = await startTwo(name);
  await using one = nodes[0];
  await using two = nodes[1];
  const accepted: string[] = [];
  const codes = new Set<string>();
  let isOver = false;
  const publishing = (async () => {
    for (let number = 0; !isOver; number++) {
      const outcome = await publishAcknowledged(one.relay, name, number).catch((error: Error) => error);
      if (outcome instanceof Error) codes.add((outcome as { readonly code?: string }).code ?? outcome.message);
      else accepted.push(String(number));
      await nextTurn();
    }
  })();
  const untilServed = async (): Promise<void> => {
    const before = accepted.length;
    await until('it accepts publications again', () => accepted.length > before + 20);
  };
  const first = await cluster.masterOf(slotOf(name));
  const masters = await Promise.all([0, 8_192, 16_383].map((slot) => cluster.masterOf(slot)));
  for (const master of [...masters.filter((other) => other !== first), first]) {
    await untilServed();
    await cluster.moveSlot(slotOf(name), master);
  }
  await untilServed();
  await cluster.untilHealthy();
  await cluster.failover(slotOf(name));
  await untilServed();
  isOver = true;
  await publishing;
  for (const { delivery } of [one, two]) {
    await until('it has received everything', () => delivery.of(name).length >= accepted.length);
    expect(delivery.of(name)).toEqual(accepted);
    expect(delivery.resets).toEqual([]);
  }
  expect([...codes].filter((code) => code !== 'unavailable')).toEqual([]);
});

it('delivers what the new master has accepted, although the hung one publishes once more when it resumes', async () => {
  await cluster.untilHealthy();
  const name = 'quiet';
  const nodes = await startTwo(name, 500);
  await using one = nodes[0];
  await using two = nodes[1];
  await publishAcknowledged(one.relay, name, 'first');
  await until('both have it', () => nodes.every(({ delivery }) => delivery.of(name).length === 1));
  const hung = await cluster.masterOf(slotOf(name));
  await hung.pause();
  const outcome = await publishAcknowledged(one.relay, name, 'lost').catch((error: Error) => error);
  expect(outcome).toMatchObject({ code: 'unconfirmed' });
  await until('another master has the slot', async () => (await cluster.masterOf(slotOf(name))) !== hung);
  for (const { relay } of nodes) await untilConnected(relay);
  const received = nodes.map(({ counters }) => counters.redisMessagesReceived);
  await hung.resume();
  await until('the late publication has arrived', () =>
    nodes.every(({ counters }, index) => counters.redisMessagesReceived > (received[index] as number)),
  );
  await until('the old master is a replica', async () => roleOf(hung));
  await publishAcknowledged(two.relay, name, 'second');
  for (const { delivery } of [one, two]) {
    await until('it has everything', () => delivery.of(name).length === 2);
    expect(delivery.of(name)).toEqual(['"first"', '"second"']);
    expect(delivery.resets).toEqual([]);
  }
  const page = await one.relay.history(topic(name), { since: null, direction: 'forward', limit: 10 });
  expect(page.position.offset).toBe(2);
});

it('refuses publications while the Redis Cluster is down, and has lost nothing afterwards', async () => {
  await using redis = await startOne();
  const redisPrefix = `p${++prefixes}`;
  const settings = { redisUrl: `redis+cluster://127.0.0.1:${redis.port}`, redisPrefix };
  await using node = startRelay({ ...settings, redisPartitions: partitions.count });
  await untilConnected(node.relay);
  const name = 'down';
  await node.relay.subscribe(topic(name), null);
  // The Cluster refuses all commands while a slot has no server.
  const otherSlot = String((slotOf(name) + 1) % 16_384);
  await redisCommand(redis.port, ['CLUSTER', 'DELSLOTS', otherSlot]);
  let accepted = 0;
  const codes = new Set<string>();
  const untilCode = (expected: string): Promise<true> =>
    until(`a publication is ${expected}`, async () => {
      const outcome = await publishAcknowledged(node.relay, name, accepted + 1);
      const code = outcome instanceof ReplyError ? outcome.code : 'accepted';
      if (code === 'accepted') accepted++;
      codes.add(code);
      return code === expected;
    });
  await untilCode('unavailable');
  await redisCommand(redis.port, ['CLUSTER', 'ADDSLOTS', otherSlot]);
  await untilCode('accepted');
  // Never `unconfirmed`: the server has done nothing.
  expect([...codes].filter((code) => code !== 'accepted')).toEqual(['unavailable']);
  await until('everything is delivered', () => node.delivery.of(name).length >= accepted);
  expect(node.delivery.of(name)).toEqual(Array.from({ length: accepted }, (_, index) => String(index + 1)));
  expect(node.delivery.resets).toEqual([]);
});

it('takes no connections from other partitions of a master if the probes of one do not come back', async () => {
  await using redis = await startOne();
  const redisPrefix = `p${++prefixes}`;
  const redisUrl = `redis+cluster://127.0.0.1:${redis.port}`;
  await using node = startRelay({ redisUrl, redisPrefix, redisPartitions: partitions.count });
  await untilConnected(node.relay);
  const hidden = 'hidden';
  const isElsewhere = (name: string): boolean => partitions.of(topic(name)) !== partitions.of(topic(hidden));
  const shown = ['a', 'b', 'c', 'd'].find(isElsewhere) ?? '';
  const tags = Array.from({ length: partitions.count }, (_, partition) => partitions.tagOf(partition));
  // The Redis user loses the permission for the keys of one partition.
  tags.splice(partitions.of(topic(hidden)), 1);
  const patterns = tags.map((tag) => `~${redisPrefix}:{${tag}}:*`);
  const { redisReconnects } = node.counters;
  await redisCommand(redis.port, ['ACL', 'SETUSER', 'default', 'resetkeys', ...patterns]);
  const isUnavailable = (): boolean => node.relay.shards.some(({ unavailable }) => unavailable === 1);
  await until('two probes are lost', isUnavailable);
  expect(await publishAcknowledged(node.relay, shown, 1)).toMatchObject({ offset: 1 });
  expect(await publishAcknowledged(node.relay, hidden, 1)).toMatchObject({ code: 'unavailable' });
  await redisCommand(redis.port, ['ACL', 'SETUSER', 'default', 'allkeys']);
  await untilConnected(node.relay);
  expect(await publishAcknowledged(node.relay, hidden, 1)).toMatchObject({ offset: 1 });
  expect(node.counters.redisReconnects).toBe(redisReconnects);
});

/** A Redis Cluster of one server. */
async function startOne(): Promise<RedisProcess> {
  // By default the bus uses another port that may be taken.
  const busPort = String(await findFreePort());
  const redis = await startRedis({ args: ['--cluster-enabled', 'yes', '--cluster-port', busPort] });
  await redisCommand(redis.port, ['CLUSTER', 'ADDSLOTSRANGE', '0', '16383']);
  return redis;
}

async function roleOf({ port }: RedisProcess): Promise<boolean> {
  return String(await redisCommand(port, ['ROLE'])).startsWith('slave');
}
