/**
 * Measures the time until the cluster has recovered from a fault, from periodic samples of the publishers and the
 * subscribers.
 */
import type { NumberOfStream } from './subscriber-group.js';

/** The state of a stream in a sample. */
export interface StreamState {
  readonly id: number;
  readonly published: number;
  readonly lastAcknowledged: number;
  /** The outcomes of all numbers up to this one are known. */
  readonly settledUpTo: number;
}

/** In milliseconds from the end of the fault. Null if it did not happen before the run ended. */
export interface RepairTimes {
  /** Until subscribers had received all acknowledged publications, and kept up after that. */
  readonly caughtUpMs: number | null;
  /** Until publishers also had the replies to all publications: the broker works as before the fault. */
  readonly servedMs: number | null;
}

interface Look {
  readonly atMs: number;
  readonly acknowledged: NumberOfStream;
  readonly published: NumberOfStream;
}

/** The time that a delivery or a reply may take in normal operation. */
export const graceMs = 250;

/**
 * The cluster must work for this long before it counts as recovered: the first good moment may be between two bad ones.
 */
const steadyMs = 1_000;

export class RepairClock {
  /** Samples of the last {@link graceMs}. */
  readonly #looks: Look[] = [];
  readonly #caughtUp = new Steadiness();
  readonly #served = new Steadiness();
  #fromMs = Number.POSITIVE_INFINITY;

  /** The fault has ended. */
  start(nowMs: number): void {
    this.#fromMs = nowMs;
  }

  get times(): RepairTimes {
    const since = ({ sinceMs }: Steadiness): number | null => (sinceMs === null ? null : sinceMs - this.#fromMs);
    return { caughtUpMs: since(this.#caughtUp), servedMs: since(this.#served) };
  }

  /** Takes a sample. `reached` returns the number that all subscribers of a stream have reached. */
  look(nowMs: number, streams: readonly StreamState[], reached: (stream: number) => number): void {
    if (nowMs < this.#fromMs || this.#served.sinceMs !== null) return;
    this.#looks.push({
      atMs: nowMs,
      acknowledged: new Map(streams.map(({ id, lastAcknowledged }) => [id, lastAcknowledged])),
      published: new Map(streams.map(({ id, published }) => [id, published])),
    });
    for (let first = this.#looks[0]; first !== undefined && first.atMs <= nowMs - graceMs; first = this.#looks[0]) {
      this.#looks.shift();
      this.#compare(first, streams, reached);
    }
  }

  /** The sample of {@link graceMs} ago: its publications must have arrived by now. */
  #compare(
    { atMs, acknowledged, published }: Look,
    streams: readonly StreamState[],
    reached: (stream: number) => number,
  ): void {
    const isCaughtUp = streams.every(({ id }) => reached(id) >= (acknowledged.get(id) ?? 0));
    this.#caughtUp.note(atMs, isCaughtUp);
    const isServed = streams.every(({ id, settledUpTo, lastAcknowledged }) => {
      const wanted = published.get(id) ?? 0;
      return settledUpTo >= wanted && reached(id) >= Math.min(wanted, lastAcknowledged);
    });
    this.#served.note(atMs, isCaughtUp && isServed);
  }
}

/** The time since which a condition has been true, once it has been true for long enough. */
class Steadiness {
  #sinceMs: number | null = null;
  #isSteady = false;

  get sinceMs(): number | null {
    return this.#isSteady ? this.#sinceMs : null;
  }

  note(nowMs: number, isSo: boolean): void {
    if (this.#isSteady) return;
    if (!isSo) this.#sinceMs = null;
    else {
      this.#sinceMs ??= nowMs;
      this.#isSteady = nowMs - this.#sinceMs >= steadyMs;
    }
  }
}
