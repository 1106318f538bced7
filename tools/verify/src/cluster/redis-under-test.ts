/** The Redis servers of a run, whatever the placement: what faults do to them, and what they ask them. */
import { becomes } from '@fanfare/kit/within';
import {
  type FaultProxy,
  type RedisClusterProcess,
  type RedisProcess,
  type RedisReply,
  redisCommand,
} from '@fanfare/local-cluster';
import type { FakeClock } from './fake-clock.js';
import type { ReplicaPlace } from './one-redis.js';

export interface RedisSettings {
  /** More arguments for each `redis-server`. */
  readonly args: readonly string[];
  /** How replicas follow the first master; null: it needs none. */
  readonly replica: ReplicaPlace | null;
  /** Whether each master needs a replica. */
  readonly isDurable: boolean;
  /** By how many seconds the clock of the first master is ahead; null: no clock can be moved. */
  readonly clockAheadSeconds: number | null;
}

/**
 * Faults of one Redis concern the first master, whatever the placement: with shards and in a Redis Cluster, others go
 * on. Faults of all Redis servers concern all {@link masters}.
 */
export abstract class RedisUnderTest implements AsyncDisposable {
  /** `FANFARE_REDIS_URL` of nodes that start now. */
  abstract readonly url: string;
  /** The first master; after a failover it may be a replica. */
  abstract readonly first: RedisProcess;
  /** All servers, masters and replicas. */
  abstract readonly servers: readonly RedisProcess[];
  /** A replica of the first master that no Sentinel watches; null if there is none. */
  abstract readonly replica: RedisProcess | null;
  /** Between the first master and a `proxied` replica; otherwise null. */
  abstract readonly replicaLink: FaultProxy | null;
  /** The clock of the first master; null if it cannot be moved. */
  abstract readonly clock: FakeClock | null;

  /** The list of shards; null for other placements. */
  abstract readonly shards: ShardList | null;
  /** The Redis Cluster; null for other placements. */
  abstract readonly redisCluster: RedisClusterProcess | null;

  protected abstract readonly masterCount: number;

  /** A planned failover of the first master. Resolves once it is a replica. */
  abstract failOver(): Promise<void>;

  /** The servers that accept publications now. */
  async masters(): Promise<readonly RedisProcess[]> {
    const roles = await Promise.all(
      // A server that hangs or has ended is no master.
      this.servers.map(({ port }) => redisCommand(port, ['ROLE'], roleTimeoutMs).catch(() => null)),
    );
    return this.servers.filter((_, index) => (roles[index] as readonly RedisReply[] | null)?.[0] === 'master');
  }

  /** The masters except the first one. Throws if there is none. */
  async otherMasters(): Promise<readonly [RedisProcess, ...RedisProcess[]]> {
    const [other, ...others] = (await this.masters()).filter((server) => server !== this.first);
    if (other === undefined) throw new Error('There is only one master.');
    return [other, ...others];
  }

  /** Sends a command to the first master. */
  command(...command: readonly string[]): Promise<RedisReply> {
    return redisCommand(this.first.port, command);
  }

  /** Sends a command to all masters. */
  async everywhere(...command: readonly string[]): Promise<readonly RedisReply[]> {
    return await Promise.all((await this.masters()).map(({ port }) => redisCommand(port, command)));
  }

  /** Resolves once a replica has replaced the first master, which hangs or has ended. */
  async untilReplaced(): Promise<void> {
    const isReplaced = async (): Promise<boolean> => {
      const masters = await this.masters();
      return masters.length === this.masterCount && !masters.includes(this.first);
    };
    if (!(await becomes(failoverDeadlineMs, isReplaced))) throw new Error('No replica has replaced the master.');
  }

  /** Resolves once the first master is a replica. */
  async untilDemoted(): Promise<void> {
    const isDemoted = (): Promise<boolean> =>
      this.command('ROLE').then(
        (role) => (role as readonly RedisReply[])[0] === 'slave',
        // A server closes its connections when it becomes a replica.
        () => false,
      );
    if (!(await becomes(failoverDeadlineMs, isDemoted))) throw new Error('The old master was not demoted.');
  }

  abstract [Symbol.asyncDispose](): Promise<void>;
}

/** A server that takes longer to reply counts as hanging. */
const roleTimeoutMs = 3_000;

const failoverDeadlineMs = 30_000;

/** The shards that nodes know: `FANFARE_REDIS_URL` of nodes that start later follows from it. */
export interface ShardList {
  /** The names of the shards, as in the URL. */
  readonly names: readonly string[];
  /** The server of a shard, also if it is no longer in the list. */
  serverOf(name: string): RedisProcess;
  /** Starts an empty Redis, and adds it to the list. Returns its name. */
  add(): Promise<string>;
  /** Removes a shard from the list. Its Redis continues to run. */
  remove(name: string): void;
}
