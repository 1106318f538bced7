/** What a supervisor and its workers say to each other, over the channel that `fork` opens between them. */
import type { Readiness } from '../admin.js';

/** What a supervisor asks, and what a worker answers. */
export interface Answers {
  readonly readiness: Readiness;
  /** In Prometheus' text format, every sample with the label `worker`. */
  readonly metrics: string;
}

export type ToWorker =
  | { readonly type: 'ask'; readonly id: number; readonly what: keyof Answers }
  /** Drain, and end. */
  | { readonly type: 'stop'; readonly atOnce: boolean };

export type FromWorker =
  | { readonly type: 'listening' }
  /** It cannot start, for a reason that a person can mend. */
  | { readonly type: 'refused'; readonly sentences: readonly string[] }
  | { readonly type: 'answer'; readonly id: number; readonly answer: Answers[keyof Answers] };
