/** Latency of deliveries before, during and after the fault. */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { nowUs } from '@fanfare/kit/stamp';

export const phases = ['before', 'during', 'after'] as const;
type Phase = (typeof phases)[number];

interface LatencySummary {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export type LatencyByPhase = Readonly<Record<Phase, LatencySummary>>;

export class Latency {
  readonly #histograms: Readonly<Record<Phase, RecordableHistogram>> = {
    before: createHistogram({ lowest: 1, highest: 600_000_000, figures: 3 }),
    during: createHistogram({ lowest: 1, highest: 600_000_000, figures: 3 }),
    after: createHistogram({ lowest: 1, highest: 600_000_000, figures: 3 }),
  };
  #faultFromUs = Number.POSITIVE_INFINITY;
  #faultToUs = Number.POSITIVE_INFINITY;

  /** The fault begins. */
  faultBegins(): void {
    this.#faultFromUs = nowUs();
  }

  /** The fault ends. */
  faultEnds(): void {
    this.#faultToUs = nowUs();
  }

  /**
   * Counts from the planned time of the publication. A publication belongs to the fault if it was planned before the
   * end of the fault and arrived after the beginning of the fault, no matter how late.
   */
  record(plannedUs: number): void {
    const now = nowUs();
    const phase = plannedUs >= this.#faultToUs ? 'after' : now < this.#faultFromUs ? 'before' : 'during';
    this.#histograms[phase].record(Math.max(1, Math.round(now - plannedUs)));
  }

  summary(): LatencyByPhase {
    return {
      before: summarise(this.#histograms.before),
      during: summarise(this.#histograms.during),
      after: summarise(this.#histograms.after),
    };
  }
}

function summarise(histogram: RecordableHistogram): LatencySummary {
  const { count } = histogram;
  if (count === 0) return { count, p50Ms: 0, p99Ms: 0, maxMs: 0 };
  return {
    count,
    p50Ms: histogram.percentile(50) / 1_000,
    p99Ms: histogram.percentile(99) / 1_000,
    maxMs: histogram.max / 1_000,
  };
}
