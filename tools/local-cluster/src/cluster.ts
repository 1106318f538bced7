/** Several nodes and their Redis. */
import { type NodeOptions, type NodeProcess, startNode } from './node-process.js';
import type { RedisProcess } from './redis.js';
import { startRedis } from './redis-process.js';
import { endAll, startAll } from './start-all.js';

export interface ClusterOptions extends Pick<NodeOptions, 'env' | 'waitReady'> {
  /** How many nodes. Default: 1. */
  readonly nodes?: number;
  /** Whether they share a Redis (default: true). Without it, each node is a separate broker. */
  readonly redis?: boolean;
}

export interface Cluster extends AsyncDisposable {
  /** Null if `redis` is false. */
  readonly redis: RedisProcess | null;
  readonly nodes: readonly NodeProcess[];
}

export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { nodes: count = 1, redis: hasRedis = true, ...nodeOptions } = options;
  const redis = hasRedis ? await startRedis() : null;
  const end = async (nodes: readonly NodeProcess[]): Promise<void> => {
    await endAll(nodes);
    await redis?.[Symbol.asyncDispose]();
  };
  try {
    const starts = Array.from({ length: count }, () =>
      startNode({ ...nodeOptions, ...(redis === null ? {} : { redisUrl: redis.url }) }),
    );
    const nodes = await startAll(starts);
    return { redis, nodes, [Symbol.asyncDispose]: () => end(nodes) };
  } catch (error) {
    await end([]);
    throw error;
  }
}
