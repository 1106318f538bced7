/** Faults of one of several Redis servers (shards), and changes of their list. */
import { setTimeout as delay } from 'node:timers/promises';
import type { VerifyTopic } from '../checker/numbered.js';
import type { ClusterUnderTest } from '../cluster/cluster-under-test.js';
import { changeShards } from '../cluster/shards-command.js';
import { readTopicChannels } from '../cluster/topic-channels.js';
import type { Fault, FaultEnvironment } from './fault.js';
import { restartEach } from './node-faults.js';
import { shardsOf } from './victim.js';

const common = { resets: 'none', placements: ['shards'] } as const;

const hungMs = 6_000;

export const shardHung: Fault = {
  ...common,
  name: 'shard-hung',
  about: `One of three shards is frozen for ${hungMs / 1_000} s (SIGSTOP, SIGCONT). Topics on the others must not notice it.`,
  isDetectable: true,
  async prepare({ cluster, expectUnaffected }) {
    const { redis } = cluster;
    expectUnaffected(await topicsOfOthers(cluster));
    return {
      async strike() {
        await redis.first.pause();
        await delay(hungMs);
        await redis.first.resume();
      },
    };
  },
};

/** The topics on other masters than the first. Throws if it has no topic either: then the fault would prove nothing. */
async function topicsOfOthers({ redis }: ClusterUnderTest): Promise<ReadonlySet<VerifyTopic>> {
  const others = await redis.otherMasters();
  const channels = await Promise.all(others.map(readTopicChannels));
  const topics = new Set(channels.flatMap((some) => [...some.keys()]));
  const hasBoth = topics.size > 0 && (await readTopicChannels(redis.first)).size > 0;
  if (!hasBoth) throw new Error('All topics are on one shard: use more topics.');
  return topics;
}

export const shardAdded: Fault = {
  ...common,
  name: 'shard-added',
  about:
    'A fourth shard is added: the nodes restart one after the other with the longer list, and `fanfare shards add` moves partitions to it.',
  async strike(environment) {
    const { cluster } = environment;
    const name = await shardsOf(cluster).add();
    await restartEach(environment);
    await change(environment, 'add', name);
  },
};

export const shardRemoved: Fault = {
  ...common,
  name: 'shard-removed',
  about:
    '`fanfare shards remove` moves all partitions of one of three shards to the others. The nodes restart one after the other with the shorter list.',
  async strike(environment) {
    const shards = shardsOf(environment.cluster);
    const [name = ''] = shards.names;
    await change(environment, 'remove', name);
    shards.remove(name);
    await restartEach(environment);
  },
};

/** Throws if no topic moved: then the fault would prove nothing. */
async function change({ cluster, note }: FaultEnvironment, action: 'add' | 'remove', name: string): Promise<void> {
  const { redis } = cluster;
  const count = async (): Promise<number> => (await readTopicChannels(shardsOf(cluster).serverOf(name))).size;
  const before = await count();
  const beganMs = performance.now();
  await changeShards(redis.url, action, name);
  const tookMs = Math.round(performance.now() - beganMs);
  const after = await count();
  note(`fanfare shards ${action} took ${tookMs} ms; topics on the shard: ${before} before, ${after} after.`);
  if (action === 'add' ? after === 0 : before === 0 || after > 0) throw new Error('The topics did not move.');
}
