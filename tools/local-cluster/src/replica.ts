/** A Redis that follows another Redis. */
import { setTimeout as delay } from 'node:timers/promises';
import type { RedisProcess } from './redis.js';
import { redisCommand } from './redis-command.js';
import { startRedis } from './redis-process.js';

/**
 * For a master: by default, Redis waits 5 s before it sends its data to a replica, in case other replicas want it too.
 */
export const masterArgs = ['--repl-diskless-sync-delay', '0'] as const;

/** Resolves once the replica has all data of the master. `args` are more arguments for `redis-server`. */
export async function startReplica(masterPort: number, args: readonly string[] = []): Promise<RedisProcess> {
  const replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${masterPort}`, ...masterArgs, ...args] });
  const deadline = performance.now() + followDeadlineMs;
  while (!String(await redisCommand(replica.port, ['INFO', 'replication'])).includes('master_link_status:up')) {
    if (performance.now() > deadline) {
      await replica[Symbol.asyncDispose]();
      throw new Error(`The replica did not follow Redis within ${followDeadlineMs} ms.`);
    }
    await delay(20);
  }
  return replica;
}

const followDeadlineMs = 60_000;
