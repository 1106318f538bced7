/** A Redis that follows another one. */
import { setTimeout as delay } from 'node:timers/promises';
import type { RedisProcess } from './redis.js';
import { redisCommand } from './redis-command.js';
import { startRedis } from './redis-process.js';

/** For a server that gets a replica: by default it waits 5 s before it sends it its data, in case others want it too. */
export const masterArgs = ['--repl-diskless-sync-delay', '0'] as const;

/** Resolves once it has all that the master has. `args` are more arguments for `redis-server`. */
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
