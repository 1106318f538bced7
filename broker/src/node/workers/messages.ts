/** Messages between a supervisor and its workers, over the channel of `fork`. */
import type { Readiness } from '../admin.js';

/** Questions of the supervisor, and the type of each answer. */
export interface Answers {
  readonly readiness: Readiness;
  /** In Prometheus' text format, every sample with the label `worker`. */
  readonly metrics: string;
}

export type ToWorker =
  | { readonly type: 'ask'; readonly id: number; readonly what: keyof Answers }
  /** Drain, and exit. */
  | { readonly type: 'stop'; readonly atOnce: boolean };

export type FromWorker =
  | { readonly type: 'listening' }
  /** The worker cannot start, for a reason that the operator can fix. */
  | { readonly type: 'refused'; readonly sentences: readonly string[] }
  | { readonly type: 'answer'; readonly id: number; readonly answer: Answers[keyof Answers] };
