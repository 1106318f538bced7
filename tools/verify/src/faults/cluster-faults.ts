/** Faults of a Redis Cluster, and what an operator does with it. */
import { setTimeout as delay } from 'node:timers/promises';
import { becomes } from '@fanfare/kit/within';
import { RedisConnection, type RedisProcess, redisCommand } from '@fanfare/local-cluster';
import { readTopicChannels } from '../cluster/topic-channels.js';
import type { Fault, FaultEnvironment } from './fault.js';
import { redisClusterOf } from './victim.js';

const common = { resets: 'none', placements: ['cluster'] } as const;

/** How many slots move. Each has the topics of one partition. */
const movedSlots = 3;
/** Between the two moves: time for nodes to listen and publish at the new place. */
const betweenMs = 1_000;
const listenDeadlineMs = 10_000;

export const slotMoved: Fault = {
  ...common,
  name: 'slot-moved',
  about: `${movedSlots} slots with topics move to another master one after the other, as with redis-cli --cluster reshard, and back.`,
  strike: (environment) => moveSlots(environment, 0),
};

const manyKeys = 2_000;

export const largeSlotMoved: Fault = {
  ...common,
  name: 'large-slot-moved',
  about: `Like slot-moved, with ${manyKeys.toLocaleString('en')} more keys in each slot, so that a move takes longer.`,
  strike: (environment) => moveSlots(environment, manyKeys),
};

async function moveSlots(
  { cluster, note, reportProblem, longestWait }: FaultEnvironment,
  moreKeys: number,
): Promise<void> {
  const { redis } = cluster;
  const redisCluster = redisClusterOf(cluster);
  const [target] = await redis.otherMasters();
  const slots = [...(await readSlots(redis.first))].slice(0, movedSlots);
  if (slots.length === 0) throw new Error('The first master has no topic.');
  for (const [, { channel }] of slots) await addKeys(redis.first, channel, moreKeys);
  for (const [where, to] of [
    ['away', target],
    ['back', redis.first],
  ] as const) {
    const { tookMs, waitMs } = await longestWait(async () => {
      for (const [slot] of slots) await redisCluster.moveSlot(slot, to);
    });
    const topics = slots.reduce((sum, [, slot]) => sum + slot.topics, 0);
    note(
      `${slots.length} slots with ${topics} topics moved ${where} in ${tookMs} ms; the longest wait of a publisher: ${waitMs} ms.`,
    );
    const isListening = async (): Promise<boolean> => {
      const arrived = await readSlots(to);
      return slots.every(([slot, { topics }]) => (arrived.get(slot)?.topics ?? 0) >= topics);
    };
    if (!(await becomes(listenDeadlineMs, isListening))) reportProblem('nodes do not listen where a slot has moved');
  }
}

interface SlotWithTopics {
  readonly topics: number;
  /** Of one of its topics. */
  readonly channel: string;
}

/** The slots of a master that have topics. */
async function readSlots(master: RedisProcess): Promise<ReadonlyMap<number, SlotWithTopics>> {
  const slots = new Map<number, SlotWithTopics>();
  const channels = [...(await readTopicChannels(master)).values()];
  using connection = new RedisConnection(master.port);
  const numbers = await Promise.all(channels.map((channel) => connection.call(['CLUSTER', 'KEYSLOT', channel])));
  for (const [index, channel] of channels.entries()) {
    const slot = Number(numbers[index]);
    slots.set(slot, { channel, topics: (slots.get(slot)?.topics ?? 0) + 1 });
  }
  return slots;
}

/** Adds keys with the hash tag of the channel. */
async function addKeys({ port }: RedisProcess, channel: string, count: number): Promise<void> {
  const tag = /\{[^}]*\}/.exec(channel)?.[0];
  if (tag === undefined) throw new Error(`The channel ${channel} has no hash tag.`);
  const script = `for i = 1, ${count} do redis.call('SET', KEYS[1] .. i, string.rep('x', 100)) end`;
  await redisCommand(port, ['EVAL', script, '1', `verify:${tag}:`]);
}

export const replicaMoved: Fault = {
  ...common,
  name: 'replica-moved',
  about: 'A replica becomes the replica of another master (CLUSTER REPLICATE), and later again of its own master.',
  async strike({ cluster }) {
    const { redis } = cluster;
    const redisCluster = redisClusterOf(cluster);
    const [replica] = await redisCluster.replicasOf(redis.first);
    if (replica === undefined) throw new Error('The master has no replica.');
    const [target] = await redis.otherMasters();
    await redisCluster.moveReplica(replica, target);
    await delay(betweenMs);
    await redisCluster.moveReplica(replica, redis.first);
    await redisCluster.untilHealthy();
  },
};
