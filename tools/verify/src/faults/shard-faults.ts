/** Faults of one of several Redis servers (shards), and changes of their list. */
import { setTimeout as delay } from 'node:timers/promises';
import { becomes } from '@fanfare/kit/within';
import type { ClusterUnderTest } from '../cluster/cluster-under-test.js';
import { changeShards, killWhileMoving } from '../cluster/shards-command.js';
import { readTopicChannels } from '../cluster/topic-channels.js';
import type { Fault, FaultEnvironment } from './fault.js';
import { restartEach } from './node-faults.js';
import { expectOthersUnaffected, shardsOf } from './victim.js';

const hungMs = 6_000;

export const shardHung: Fault = {
  name: 'shard-hung',
  about: `One of three shards without Sentinels is frozen for ${hungMs / 1_000} s (SIGSTOP, SIGCONT); with Sentinels this is redis-hang. Topics on the others must not notice it.`,
  resets: 'none',
  placements: ['shards'],
  isDetectable: true,
  async prepare(environment) {
    await expectOthersUnaffected(environment);
    const { redis } = environment.cluster;
    return {
      async strike() {
        await redis.first.pause();
        await Promise.all([delay(hungMs), environment.untilOthersServed()]);
        await redis.first.resume();
      },
    };
  },
};

const moving = { resets: 'none', placements: ['shards', 'sentinel-shards'] } as const;

export const shardAdded: Fault = {
  ...moving,
  name: 'shard-added',
  about:
    'A fourth shard is added: the nodes restart one after the other with the longer list, and `fanfare shards add` moves partitions to it. No publisher may wait for a second during the moves.',
  async strike(environment) {
    const { cluster } = environment;
    const name = await shardsOf(cluster).add();
    await restartEach(environment);
    await change(environment, 'add', name);
  },
};

export const shardRemoved: Fault = {
  ...moving,
  name: 'shard-removed',
  about:
    '`fanfare shards remove` moves all partitions of one of three shards to the others. The nodes restart one after the other with the shorter list. No publisher may wait for a second during the moves.',
  async strike(environment) {
    const shards = shardsOf(environment.cluster);
    const [name = ''] = shards.names;
    await change(environment, 'remove', name);
    shards.remove(name);
    await restartEach(environment);
  },
};

/** After its death, the lock of the command holds for 30 s. */
const lockDeadlineMs = 60_000;

export const shardsCommandKilled: Fault = {
  ...moving,
  name: 'shards-command-killed',
  about:
    '`fanfare shards remove` is killed (SIGKILL) while it moves a partition, and run again until it has moved all of them.',
  async strike({ cluster, note }) {
    const { redis } = cluster;
    const [name = ''] = shardsOf(cluster).names;
    await killWhileMoving(redis.url, 'remove', name);
    if (await isEmpty(cluster, name)) throw new Error('The command was killed too late: it had moved all partitions.');
    let runs = 0;
    let failure: unknown = null;
    const isDone = async (): Promise<boolean> => {
      runs++;
      failure = await changeShards(redis.url, 'remove', name).then(
        () => null,
        (error: unknown) => error,
      );
      return failure === null;
    };
    if (!(await becomes(lockDeadlineMs, isDone))) throw failure;
    note(`fanfare shards remove was killed; run ${runs} after that moved the rest.`);
    if (!(await becomes(listenDeadlineMs, () => isEmpty(cluster, name))))
      throw new Error('Nodes listen to topics that have moved away.');
  },
};

async function isEmpty(cluster: ClusterUnderTest, name: string): Promise<boolean> {
  return (await readTopicChannels(shardsOf(cluster).serverOf(name))).size === 0;
}

/** Nodes may listen for a moment where a topic was. */
const listenDeadlineMs = 5_000;

/** Throws if no topic moved: then the fault would prove nothing. */
async function change(
  { cluster, note, reportProblem, longestWait, maxWaitMs }: FaultEnvironment,
  action: 'add' | 'remove',
  name: string,
): Promise<void> {
  const { redis } = cluster;
  const count = async (): Promise<number> => (await readTopicChannels(shardsOf(cluster).serverOf(name))).size;
  const before = await count();
  const { tookMs, waitMs } = await longestWait(() => changeShards(redis.url, action, name));
  if (maxWaitMs !== null && waitMs >= maxWaitMs) reportProblem(`a publisher waited for ${waitMs} ms during the moves`);
  const isMoved = async (): Promise<boolean> => (await count()) > 0 === (action === 'add');
  if (!(await becomes(listenDeadlineMs, isMoved))) throw new Error('Nodes do not listen where the topics are.');
  const after = await count();
  note(
    `fanfare shards ${action} took ${tookMs} ms; the longest wait of a publisher: ${waitMs} ms; topics on the shard: ${before} before, ${after} after.`,
  );
  if (before === after) throw new Error('No topic has moved.');
}
