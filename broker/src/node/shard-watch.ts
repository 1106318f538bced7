/**
 * Logs when one of several Redis cannot be used while others can. If none can be used, that is an outage of the whole
 * node (outage.ts).
 */
import type { Log } from '../observe/log.js';
import type { ShardStatus } from '../relay/relay.js';

/** The relay, as this file needs it. */
interface Shards {
  readonly shards: readonly ShardStatus[];
  /** What is wrong with a connection to Redis, in a sentence; null if nothing was found wrong recently. */
  readonly fault: string | null;
}

/** How often the shards are checked, in milliseconds. */
const checkMs = 100;
/** How long a starting node may take to reach a Redis before that is logged, in milliseconds. */
const startMs = 3_000;

export class ShardWatch {
  readonly #timer: NodeJS.Timeout;
  readonly #startedAt = performance.now();
  /** The shards that were in use. */
  readonly #used = new Set<string>();
  /** Since when each lost shard cannot be used, by performance.now(). */
  readonly #lostSince = new Map<string, number>();

  constructor(
    private readonly relay: Shards,
    private readonly log: Log,
  ) {
    this.#timer = setInterval(() => this.#check(performance.now()), checkMs);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #check(now: number): void {
    const { shards } = this.relay;
    if (shards.length < 2) return;
    const isOutage = shards.every(({ isConnected }) => !isConnected);
    for (const shard of shards) {
      const since = this.#lostSince.get(shard.name);
      if (shard.isConnected) {
        this.#used.add(shard.name);
        if (since !== undefined) this.#onBack(shard, now - since);
      } else if (since === undefined && !isOutage && (this.#used.has(shard.name) || now - this.#startedAt > startMs))
        this.#onLost(shard, now);
    }
    // A master of a Redis Cluster that has no partition any more.
    for (const name of this.#lostSince.keys())
      if (!shards.some((shard) => shard.name === name)) this.#lostSince.delete(name);
  }

  #onLost({ name, partitions }: ShardStatus, now: number): void {
    this.#lostSince.set(name, now);
    const { fault } = this.relay;
    this.log.error(
      { event: 'shardLost', shard: name, partitions },
      `The Redis ${name} cannot be used. Topics in its ${partitions} partitions are unavailable; all other topics are served.${fault === null ? '' : ` ${fault}`}`,
    );
  }

  #onBack({ name, partitions }: ShardStatus, lastedMs: number): void {
    this.#lostSince.delete(name);
    this.log.warn(
      { event: 'shardBack', shard: name, partitions, lastedMs: Math.round(lastedMs) },
      `The Redis ${name} is back after ${(lastedMs / 1_000).toFixed(1)} s. Its ${partitions} partitions are served again.`,
    );
  }
}
