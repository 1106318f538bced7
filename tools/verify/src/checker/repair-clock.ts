/** When all is well again after a fault: looks at the publishers and the subscribers all the time, and remembers what it saw. */
import type { NumberOfStream } from './subscriber-group.js';

/** What a look sees of the publishers. */
export interface StreamState {
  readonly id: number;
  readonly published: number;
  readonly lastAcknowledged: number;
  /** What became of all numbers up to this one is known. */
  readonly settledUpTo: number;
}

/** In milliseconds from the fault's end. Null: not before the run ended. */
export interface RepairTimes {
  /** Until subscribers had all that was acknowledged, and kept up from then on. */
  readonly caughtUpMs: number | null;
  /** Until, besides, publishers had the answers to all that was published: the broker serves as before. */
  readonly servedMs: number | null;
}

interface Look {
  readonly atMs: number;
  readonly acknowledged: NumberOfStream;
  readonly published: NumberOfStream;
}

/** So long may an acknowledged publication be on its way to a subscriber, and an answer to its publisher, while all is well. */
export const graceMs = 250;

/** So long must all be well for a repair to count: the first good moment may lie between two bad ones. */
export const steadyMs = 1_000;

export class RepairClock {
  /** Looks of the last {@link graceMs}. */
  readonly #looks: Look[] = [];
  readonly #caughtUp = new Steadiness();
  readonly #served = new Steadiness();
  #fromMs = Number.POSITIVE_INFINITY;

  /** The fault is over. */
  start(nowMs: number): void {
    this.#fromMs = nowMs;
  }

  get times(): RepairTimes {
    const since = ({ sinceMs }: Steadiness): number | null => (sinceMs === null ? null : sinceMs - this.#fromMs);
    return { caughtUpMs: since(this.#caughtUp), servedMs: since(this.#served) };
  }

  /** `reached` is the number up to which all subscribers of a stream have come. */
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

  /** What was true a moment ago must have arrived by now. */
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

/** Since when something has been so, once it has been so for long enough. */
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
