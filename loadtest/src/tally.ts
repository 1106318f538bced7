/** Counts what arrives: every delivery, in which order, and how late. */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { nowUs, readPlannedUs, readSequence } from './stamp.js';

/** Latency is taken on one subscriber in so many; each delivery to each subscriber is counted and its number checked. */
export const latencySample = 8;

export class Tally {
  /** Deliveries, each of a publication that its subscriber had not got before, and in order. What is missing was lost. */
  deliveries = 0;
  /** What came a second time, or after a publication with a higher number, or was none of ours. */
  repeated = 0;
  readonly latency: RecordableHistogram = createHistogram({ lowest: 1, highest: 60_000_000, figures: 3 });
  /** Called when `deliveries` reaches this. */
  awaited = Number.POSITIVE_INFINITY;
  onAwaited: () => void = () => {};
  readonly #next: Float64Array;

  constructor(subscribers: number) {
    this.#next = new Float64Array(subscribers);
  }

  /** Starts from zero; the numbers of the publications go on. */
  reset(): void {
    this.deliveries = 0;
    this.repeated = 0;
    this.latency.reset();
    this.awaited = Number.POSITIVE_INFINITY;
  }

  record(subscriber: number, bytes: Uint8Array, stampAt: number): void {
    const sequence = readSequence(bytes, stampAt);
    // Not `<`: NaN, read from what is no stamp, is to end here too.
    if (!(sequence >= (this.#next[subscriber] as number))) {
      this.repeated++;
      return;
    }
    this.#next[subscriber] = sequence + 1;
    if (subscriber % latencySample === 0) {
      this.latency.record(Math.max(1, nowUs() - readPlannedUs(bytes, stampAt)));
    }
    if (++this.deliveries >= this.awaited) this.onAwaited();
  }
}
