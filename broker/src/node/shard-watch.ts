/**
 * Logs when one of several Redis cannot be used while others can. If none can be used, that is an outage of the whole
 * node (outage.ts).
 */
import type { Log } from '../observe/log.js';
import type { ShardStatus } from '../relay/relay.js';

/** The relay, as this file needs it. */
interface Shards {
  readonly shards: readonly ShardStatus[];
}

/** How often the shards are checked, in milliseconds. */
const checkMs = 100;
/** A shard is logged as lost after this time, in milliseconds: a slot that moves is back sooner. */
const graceMs = 1_000;
/** How long a starting node may take to reach a Redis before that is logged, in milliseconds. */
const startMs = 3_000;

interface Loss {
  /** By performance.now(). */
  readonly since: number;
  isLogged: boolean;
}

export class ShardWatch {
  readonly #timer: NodeJS.Timeout;
  readonly #startedAt = performance.now();
  /** The shards that cannot be used now. */
  readonly #losses = new Map<string, Loss>();

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
    // Also if the node knows no partitions yet.
    const isOutage = shards.every(({ isConnected, partitions }) => !isConnected || partitions === 0);
    for (const shard of shards) {
      const loss = this.#losses.get(shard.name);
      if (shard.isConnected) {
        this.#losses.delete(shard.name);
        if (loss?.isLogged) this.#logBack(shard, now - loss.since);
      } else if (loss === undefined) this.#losses.set(shard.name, { since: now, isLogged: false });
      else if (!loss.isLogged && !isOutage && now - loss.since > graceMs && now - this.#startedAt > startMs) {
        loss.isLogged = true;
        this.#logLost(shard);
      }
    }
    // A master of a Redis Cluster that has no partition any more.
    for (const name of this.#losses.keys()) if (!shards.some((shard) => shard.name === name)) this.#losses.delete(name);
  }

  #logLost({ name, partitions, unavailable, fault }: ShardStatus): void {
    const fields = { event: 'shardLost', shard: name, partitions, unavailable };
    if (unavailable === 0)
      return this.log.warn(fields, `The Redis ${name} cannot be used. It has no partitions: all topics are served.`);
    this.log.error(
      fields,
      `The Redis ${name} cannot be used for ${unavailable} of its ${partitions} partitions. Their topics are unavailable; all other topics are served.${fault === null ? '' : ` ${fault}`}`,
    );
  }

  #logBack({ name, partitions }: ShardStatus, lastedMs: number): void {
    this.log.warn(
      { event: 'shardBack', shard: name, partitions, lastedMs: Math.round(lastedMs) },
      `The Redis ${name} is back after ${(lastedMs / 1_000).toFixed(1)} s. Its ${partitions} partitions are served again.`,
    );
  }
}

/** What /readyz says of a node that is ready. With several Redis, some of them may not work. */
export function servingText({ shards }: Shards): string {
  const failing = shards.filter(({ unavailable }) => unavailable > 0);
  if (failing.length === 0) return 'serving';
  const unavailable = failing.reduce((total, shard) => total + shard.unavailable, 0);
  const partitions = shards.reduce((total, shard) => total + shard.partitions, 0);
  const names = failing.map(({ name }) => name).join(', ');
  const faults = failing.flatMap(({ fault }) => (fault === null ? [] : [` ${fault}`])).join('');
  return `serving, but ${unavailable} of ${partitions} partitions are unavailable (${names})${faults === '' ? '' : `.${faults}`}`;
}
