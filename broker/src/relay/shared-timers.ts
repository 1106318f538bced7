/**
 * Repeated work of the relays of a node. What has the same interval runs in the same turn, so that everything that the
 * relays send to one Redis leaves in one write: a Redis Cluster has a relay for each partition.
 */
interface SharedTimer {
  readonly timer: NodeJS.Timeout;
  readonly runs: Set<() => void>;
}

export class SharedTimers {
  /** By their intervals. */
  readonly #timers = new Map<number, SharedTimer>();

  /** Calls `run` each time that the interval, in milliseconds, is over. Returns a function that ends this. */
  every(intervalMs: number, run: () => void): () => void {
    const shared = this.#timers.get(intervalMs) ?? this.#start(intervalMs);
    shared.runs.add(run);
    return () => {
      shared.runs.delete(run);
      if (shared.runs.size > 0) return;
      clearInterval(shared.timer);
      if (this.#timers.get(intervalMs) === shared) this.#timers.delete(intervalMs);
    };
  }

  #start(intervalMs: number): SharedTimer {
    const runs = new Set<() => void>();
    const timer = setInterval(() => {
      for (const run of runs) run();
    }, intervalMs);
    timer.unref();
    const shared = { timer, runs };
    this.#timers.set(intervalMs, shared);
    return shared;
  }
}
