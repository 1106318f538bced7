/** One Redis, or several that are shards. */
import type { FaultProxy, RedisProcess } from '@fanfare/local-cluster';
import type { FakeClock } from './fake-clock.js';
import { failOverWithSentinel, type OneRedis, startOneRedis } from './one-redis.js';
import { type RedisSettings, RedisUnderTest, type ShardList } from './redis-under-test.js';

export class RedisList extends RedisUnderTest {
  readonly redisCluster = null;
  readonly shards: ShardList | null;
  readonly #first: OneRedis;
  /** Those that nodes know. */
  readonly #listed: OneRedis[];
  /** All that run. */
  readonly #running: OneRedis[];

  /** Without `shards`: one Redis. */
  static async start(settings: RedisSettings, shards: number | null): Promise<RedisList> {
    const first = await startOneRedis(firstOf(settings));
    const list = new RedisList(first, shards !== null, () => startOneRedis(laterOf(settings)));
    try {
      for (let count = 1; count < (shards ?? 1); count++) await list.#add();
      return list;
    } catch (error) {
      await list[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(
    first: OneRedis,
    private readonly areShards: boolean,
    private readonly startAnother: () => Promise<OneRedis>,
  ) {
    super();
    this.#first = first;
    this.#listed = [first];
    this.#running = [first];
    this.shards = areShards ? this.#list() : null;
  }

  get url(): string {
    const scheme = ['redis'];
    if (this.areShards) scheme.push('shards');
    if (this.#first.sentinel !== null) scheme.push('sentinel');
    return `${scheme.join('+')}://${this.#listed.map(({ address }) => address).join(';')}`;
  }

  get first(): RedisProcess {
    return this.#first.server;
  }

  get servers(): readonly RedisProcess[] {
    return this.#running.flatMap(({ servers }) => servers);
  }

  get replica(): RedisProcess | null {
    return this.#first.sentinel === null ? this.#first.replica : null;
  }

  get replicaLink(): FaultProxy | null {
    return this.#first.replicaLink;
  }

  get clock(): FakeClock | null {
    return this.#first.clock;
  }

  protected get masterCount(): number {
    return this.#running.length;
  }

  async failOver(): Promise<void> {
    await failOverWithSentinel(this.#first);
    await this.untilDemoted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#running.map((redis) => redis[Symbol.asyncDispose]()));
  }

  async #add(): Promise<OneRedis> {
    const added = await this.startAnother();
    this.#running.push(added);
    this.#listed.push(added);
    return added;
  }

  #list(): ShardList {
    const listed = this.#listed;
    return {
      get names() {
        return listed.map(({ address }) => address);
      },
      serverOf: (name) => {
        const shard = this.#running.find(({ address }) => address === name);
        if (shard === undefined) throw new Error(`There is no shard ${name}.`);
        return shard.server;
      },
      add: async () => (await this.#add()).address,
      remove: (name) => {
        const index = listed.findIndex(({ address }) => address === name);
        if (index < 0) throw new Error(`There is no shard ${name}.`);
        listed.splice(index, 1);
      },
    };
  }
}

type OneRedisOptions = Parameters<typeof startOneRedis>[0];

function firstOf({ args, replica, isDurable, clockAheadSeconds }: RedisSettings): OneRedisOptions {
  return { args, replica: replica ?? (isDurable ? 'direct' : null), clockAheadSeconds };
}

/** The others are what the nodes of a fault expect, but it does not concern them. */
function laterOf({ args, replica, isDurable }: RedisSettings): OneRedisOptions {
  const place = replica === 'watched' ? 'watched' : isDurable ? 'direct' : null;
  return { args, replica: place, clockAheadSeconds: null };
}
