/** A Redis that follows another Redis. */
import type { RedisProcess } from './redis.js';
import { redisCommand } from './redis-command.js';
import { startRedis } from './redis-process.js';
import { untilSolved } from './until.js';

/**
 * For a master: by default, Redis waits 5 s before it sends its data to a replica, in case other replicas want it too.
 */
export const masterArgs = ['--repl-diskless-sync-delay', '0'] as const;

/** Resolves once the replica has all data of the master. `args` are more arguments for `redis-server`. */
export async function startReplica(masterPort: number, args: readonly string[] = []): Promise<RedisProcess> {
  const replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${masterPort}`, ...masterArgs, ...args] });
  try {
    await untilSolved(async () => {
      const info = String(await redisCommand(replica.port, ['INFO', 'replication']));
      return info.includes('master_link_status:up') ? null : 'The replica does not have the data of its master.';
    });
  } catch (error) {
    await replica[Symbol.asyncDispose]();
    throw error;
  }
  return replica;
}
