/** Faults in which Redis loses its state, or its sense of time, at a bad moment. */
import { setTimeout as delay } from 'node:timers/promises';
import { placements, withoutFailover } from '../cluster/placement.js';
import type { Fault } from './fault.js';
import { restartEach } from './node-faults.js';
import { firstNode, restart } from './victim.js';

/** Less than the tolerated loss of data (broker/src/relay/memory-times.ts). */
const snapshotAgeMs = 2_000;

export const redisSnapshot: Fault = {
  name: 'redis-snapshot',
  about: 'Redis is killed (SIGKILL) and restarted with a snapshot (RDB) that is 2 s old.',
  resets: 'none',
  placements,
  isDetectable: true,
  async strike({ cluster }) {
    await cluster.redis.command('SAVE');
    await delay(snapshotAgeMs);
    await restart(cluster.redis.first);
  },
};

/** Longer than a node may still publish after its last heartbeat (broker/src/relay/memory-times.ts). */
const diedBeforeMs = 3_000;

export const redisRestartAfterKill: Fault = {
  name: 'redis-restart-after-kill',
  about: 'A node is killed (SIGKILL) and restarted. 3 s later the same happens to Redis, which keeps all data on disk.',
  resets: 'none',
  placements,
  isDetectable: true,
  redisArgs: ['--appendonly', 'yes', '--appendfsync', 'always'],
  async strike({ cluster }) {
    const node = firstNode(cluster);
    await node.process.kill();
    // Do not wait for the start of the node: Redis must still know the dead one.
    await Promise.all([node.startAgain(), delay(diedBeforeMs).then(() => restart(cluster.redis.first))]);
  },
};

const hourSeconds = 3_600;
/** Rounds of moving the clock and deleting histories. */
const clockRounds = 3;

export const clockBack: Fault = {
  name: 'clock-back',
  about:
    'The clock of Redis is an hour ahead. It is corrected while all histories are deleted and start again. Then Redis is killed and restarted.',
  resets: 'allowed',
  placements: withoutFailover,
  clockAheadSeconds: hourSeconds,
  redisArgs: ['--appendonly', 'yes', '--appendfsync', 'always'],
  async strike({ cluster, note, reportProblem }) {
    const { redis } = cluster;
    const { clock } = redis;
    if (clock === null) throw new Error('The clock of Redis cannot be moved.');
    const seconds = async (): Promise<number> => Number(((await redis.command('TIME')) as string[])[0]);
    for (let round = 0; round < clockRounds; round++) {
      const before = await seconds();
      clock.set(round % 2 === 0 ? 0 : hourSeconds);
      note(`The clock of Redis went by ${(await seconds()) - before} s.`);
      if (round === 0 && (await seconds()) >= before) reportProblem('the clock of Redis did not go back');
      const streams = (await redis.command('KEYS', 'fanfare:*topic:*')) as string[];
      for (const stream of streams.filter((name) => !name.includes(':ids'))) await redis.command('DEL', stream);
      await delay(300);
    }
    await restart(redis.first);
  },
};

/** How far the distant node is from Redis. */
const distancesMs = [1, 3, 5, 10];

export const scriptFlushDistant: Fault = {
  name: 'script-flush-distant',
  about: 'Redis forgets all scripts repeatedly (SCRIPT FLUSH), while the latency of one node is 1 to 10 ms higher.',
  resets: 'none',
  placements,
  proxy: 'oneRedisLink',
  async strike({ cluster }) {
    for (const distanceMs of distancesMs) {
      cluster.proxy?.delay(distanceMs);
      for (let flush = 0; flush < 3; flush++) {
        await delay(100);
        await cluster.redis.everywhere('SCRIPT', 'FLUSH');
      }
    }
    cluster.proxy?.delay(0);
  },
};

export const newNodeAtRestart: Fault = {
  name: 'new-node-at-restart',
  about: 'Redis, which keeps nothing on disk, is killed (SIGKILL) and restarts empty while a new node starts.',
  resets: 'none',
  placements: withoutFailover,
  isDetectable: true,
  async strike({ cluster, use }) {
    await cluster.redis.first.kill();
    const starting = cluster.startNewcomer();
    // The new node and the others try to connect, with growing pauses.
    await delay(1_000);
    await cluster.redis.first.restart();
    use(await starting);
  },
};

export const flushallInRollingRestart: Fault = {
  name: 'flushall-in-rolling-restart',
  about:
    'A rolling restart during which FLUSHALL deletes all data in Redis three times: while the first node stops, after the second has ended, and after the third has started.',
  resets: 'none',
  placements,
  async strike(environment) {
    const flushall = (): Promise<unknown> => environment.cluster.redis.everywhere('FLUSHALL');
    await restartEach(environment, {
      onStopping: async (index) => index === 0 && delay(500).then(flushall),
      onEnded: async (index) => index === 1 && flushall(),
      onStarted: async (index) => index === 2 && flushall(),
    });
  },
};
