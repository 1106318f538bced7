/**
 * How long this node may rely on its map of partitions without asking a shard. `fanfare shards` waits for each node as
 * long as its heartbeats are not older than that. So a node that has hung for longer must first ask: partitions may
 * have moved away, and nobody would listen to what it publishes.
 */
export class MapLease {
  #askedAt = Number.NEGATIVE_INFINITY;
  #term = 0;

  /** `durationMs`: shorter than the time for which `fanfare shards` waits. Infinity if partitions never move. */
  constructor(private readonly durationMs: number) {}

  get isValid(): boolean {
    return this.durationMs === Number.POSITIVE_INFINITY || performance.now() - this.#askedAt < this.durationMs;
  }

  /** Another number after each time in which the lease was not valid. */
  get term(): number {
    return this.#term;
  }

  /** The shard permits what this node does, as it has answered to a request that was sent at `askedAt`. */
  renew(askedAt: number): void {
    if (!this.isValid) this.#term++;
    this.#askedAt = Math.max(this.#askedAt, askedAt);
  }
}
