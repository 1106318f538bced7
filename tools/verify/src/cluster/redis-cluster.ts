/** A Redis Cluster with three masters. */
import { type RedisClusterProcess, type RedisProcess, startRedisCluster } from '@fanfare/local-cluster';
import { safeArgs } from './one-redis.js';
import { type RedisSettings, RedisUnderTest } from './redis-under-test.js';

const masters = 3;

/** As docs/operations.md advises: otherwise, all masters refuse commands while one has no replacement. */
const partialCoverage = ['--cluster-require-full-coverage', 'no'] as const;

/** The first master has it. */
const slotOfFirst = 0;

export class ClusterRedis extends RedisUnderTest {
  readonly replica = null;
  readonly replicaLink = null;
  readonly clock = null;
  readonly shards = null;
  protected readonly masterCount = masters;

  static async start({ args, replica, isDurable, clockAheadSeconds }: RedisSettings): Promise<ClusterRedis> {
    if (clockAheadSeconds !== null) throw new Error('The clock of a Redis Cluster cannot be moved.');
    const isSafe = replica !== null || isDurable;
    const redisCluster = await startRedisCluster({
      masters,
      // With one replica, its promotion would leave a master that refuses writes (min-replicas-to-write).
      replicasPerMaster: isSafe ? 2 : 1,
      args: [...partialCoverage, ...(isSafe ? safeArgs : []), ...args],
    });
    try {
      return new ClusterRedis(redisCluster, await redisCluster.masterOf(slotOfFirst));
    } catch (error) {
      await redisCluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(
    readonly redisCluster: RedisClusterProcess,
    readonly first: RedisProcess,
  ) {
    super();
  }

  get url(): string {
    return this.redisCluster.url;
  }

  get servers(): readonly RedisProcess[] {
    return this.redisCluster.servers;
  }

  async failOver(): Promise<void> {
    await this.redisCluster.failover(slotOfFirst);
    await this.untilDemoted();
  }

  override async untilDemoted(): Promise<void> {
    await super.untilDemoted();
    await this.redisCluster.untilHealthy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.redisCluster[Symbol.asyncDispose]();
  }
}
