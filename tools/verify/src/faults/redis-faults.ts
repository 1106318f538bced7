/** Faults of Redis. */

import { setTimeout as delay } from 'node:timers/promises';
import { redisCommand, startReplica } from '@fanfare/local-cluster';
import { safeArgs } from '../cluster/one-redis.js';
import { placements, withFailover, withoutFailover } from '../cluster/placement.js';
import type { Fault, FaultEnvironment } from './fault.js';
import { expectOthersUnaffected, restart } from './victim.js';

export const redisRestartAof: Fault = {
  name: 'redis-restart-aof',
  about: 'Redis, which writes each command to disk before it replies, is killed (SIGKILL) and restarted.',
  resets: 'none',
  placements,
  isDetectable: true,
  // With `everysec` and a slow disk, Redis may reply before it writes. Then a kill loses acknowledged publications.
  redisArgs: ['--appendonly', 'yes', '--appendfsync', 'always'],
  strike: ({ cluster }) => restart(cluster.redis.first),
};

export const redisRestartEmpty: Fault = {
  name: 'redis-restart-empty',
  about: 'Redis, which keeps nothing on disk, is killed (SIGKILL) and restarts empty.',
  resets: 'allowed',
  placements,
  isDetectable: true,
  strike: ({ cluster }) => restart(cluster.redis.first),
};

export const redisFlushall: Fault = {
  name: 'redis-flushall',
  about: 'All data in Redis is deleted (FLUSHALL).',
  resets: 'allowed',
  placements,
  async strike({ cluster }) {
    await cluster.redis.everywhere('FLUSHALL');
  },
};

async function failOver({ cluster: { redis, proxy }, use }: FaultEnvironment): Promise<void> {
  const { replica, replicaLink } = redis;
  if (replica === null || proxy === null) throw new Error('There is no replica to take over.');
  await redis.first.kill();
  // From now on, the replica receives nothing more.
  await replicaLink?.refuse();
  await redisCommand(replica.port, ['REPLICAOF', 'NO', 'ONE']);
  proxy.retarget(replica.port);
  use(await startReplica(replica.port, safeArgs));
}

export const redisFailover: Fault = {
  name: 'redis-failover',
  about:
    'The master is killed (SIGKILL). Its replica becomes the master, gets a replica, and receives all new connections.',
  resets: 'none',
  placements: withoutFailover,
  isDetectable: true,
  replica: 'direct',
  proxy: 'allRedisLinks',
  strike: failOver,
};

/** Lag of the replica in milliseconds: less than the time for which nodes remember their publications. */
const lagMs = 500;

export const redisFailoverBehind: Fault = {
  name: 'redis-failover-behind',
  about: 'Like redis-failover, but the replica lacks the data of the last 0.5 s.',
  resets: 'none',
  placements: withoutFailover,
  isDetectable: true,
  replica: 'proxied',
  proxy: 'allRedisLinks',
  async strike(environment) {
    const { first, replica, replicaLink } = environment.cluster.redis;
    if (replica === null || replicaLink === null) throw new Error('There is no replica to fall behind.');
    replicaLink.block('toClient');
    await delay(lagMs);
    const lackedBytes = (await replicated(first.port)) - (await replicated(replica.port));
    environment.note(`The replica lacked ${lackedBytes} bytes of the master's commands.`);
    // A replica without lag would prove nothing.
    if (lackedBytes <= 0) environment.reportProblem('the replica was not behind');
    await failOver(environment);
  },
};

/** Bytes of commands that the master has sent, or that the replica has executed. */
async function replicated(port: number): Promise<number> {
  const info = String(await redisCommand(port, ['INFO', 'replication']));
  const field = info.includes('role:slave') ? 'slave_repl_offset' : 'master_repl_offset';
  return Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(info)?.[1]);
}

export const redisPause: Fault = {
  name: 'redis-pause',
  about: 'Redis does not reply to any client for 3 s (CLIENT PAUSE 3000 ALL).',
  resets: 'none',
  // In a Redis Cluster, the servers go on to talk to each other. A Sentinel would replace the master.
  placements: [...withoutFailover, 'cluster'],
  isDetectable: true,
  async strike({ cluster }) {
    await cluster.redis.command('CLIENT', 'PAUSE', '3000', 'ALL');
    await delay(3_000);
  },
};

export const redisSleep: Fault = {
  name: 'redis-sleep',
  about: 'Redis is busy with one command for 2 s (DEBUG SLEEP 2).',
  resets: 'none',
  placements: withoutFailover,
  isDetectable: true,
  redisArgs: ['--enable-debug-command', 'local'],
  async strike({ cluster }) {
    await cluster.redis.command('DEBUG', 'SLEEP', '2');
  },
};

export const redisStop: Fault = {
  name: 'redis-stop',
  about: 'Redis is frozen for 4 s (SIGSTOP, SIGCONT).',
  resets: 'none',
  placements: withoutFailover,
  isDetectable: true,
  async strike({ cluster: { redis } }) {
    await redis.first.pause();
    await delay(4_000);
    await redis.first.resume();
  },
};

export const redisHang: Fault = {
  name: 'redis-hang',
  about:
    'A master is frozen for at least 6 s (SIGSTOP, SIGCONT). A Sentinel or the Redis Cluster promotes a replica, and demotes the old master after it resumes. Topics on other masters must not notice it.',
  resets: 'allowed',
  // A single Redis gets a Sentinel for it.
  placements: ['single', ...withFailover],
  isDetectable: true,
  replica: 'watched',
  async prepare(environment) {
    await expectOthersUnaffected(environment);
    const { redis } = environment.cluster;
    return {
      async strike() {
        await redis.first.pause();
        await Promise.all([delay(6_000), redis.untilReplaced(), environment.untilOthersServed()]);
        await redis.first.resume();
        await redis.untilDemoted();
      },
    };
  },
};

export const masterKilled: Fault = {
  name: 'master-killed',
  about:
    'A master is killed (SIGKILL). A replica takes over, and the killed master restarts as a replica. Topics on other masters must not notice it.',
  resets: 'none',
  placements: withFailover,
  isDetectable: true,
  async prepare(environment) {
    await expectOthersUnaffected(environment);
    const { redis } = environment.cluster;
    return {
      async strike() {
        const beganMs = performance.now();
        await redis.first.kill();
        await redis.untilReplaced();
        environment.note(`A replica took over after ${Math.round(performance.now() - beganMs)} ms.`);
        await environment.untilOthersServed();
        await redis.first.restart();
        await redis.untilDemoted();
      },
    };
  },
};

export const plannedFailover: Fault = {
  name: 'planned-failover',
  about:
    'A replica takes over from the master (SENTINEL FAILOVER, or CLUSTER FAILOVER). A Sentinel demotes the old master ten seconds later. Topics on other masters must not notice it.',
  resets: 'none',
  // A single Redis gets a Sentinel for it.
  placements: ['single', ...withFailover],
  replica: 'watched',
  async prepare(environment) {
    await expectOthersUnaffected(environment);
    return { strike: () => environment.cluster.redis.failOver() };
  },
};

export const redisReadonly: Fault = {
  name: 'redis-readonly',
  about: 'For 4 s Redis is the replica of a missing master and rejects writes.',
  resets: 'none',
  placements: withoutFailover,
  isDetectable: true,
  async strike({ cluster }) {
    // Nothing listens on port 1.
    await cluster.redis.command('REPLICAOF', '127.0.0.1', '1');
    await delay(4_000);
    await cluster.redis.command('REPLICAOF', 'NO', 'ONE');
  },
};

export const scriptFlush: Fault = {
  name: 'script-flush',
  about: 'Redis forgets all scripts (SCRIPT FLUSH).',
  resets: 'none',
  placements,
  async strike({ cluster }) {
    await cluster.redis.everywhere('SCRIPT', 'FLUSH');
  },
};
