/** Several nodes and their Redis. */
import { type NodeOptions, type NodeProcess, startNode } from './node-process.js';
import type { RedisProcess } from './redis.js';
import { startRedis } from './redis-process.js';

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
  const started = await Promise.allSettled(
    Array.from({ length: count }, () =>
      startNode({ ...nodeOptions, ...(redis === null ? {} : { redisUrl: redis.url }) }),
    ),
  );
  const nodes = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const end = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.kill()));
    await redis?.[Symbol.asyncDispose]();
  };
  const failure = started.find((result) => result.status === 'rejected');
  if (failure !== undefined) {
    await end();
    throw failure.reason;
  }
  return { redis, nodes, [Symbol.asyncDispose]: end };
}
