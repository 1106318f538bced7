/**
 * How long publications are collected before they are sent together. An idle node sends them at once. A busy node waits
 * a few milliseconds. A flush of any size costs a system call for each subscriber and a command for each topic.
 */
import { type EventLoopUtilization, performance } from 'node:perf_hooks';

/** How often the load is measured, in milliseconds. */
const lookMs = 100;

/** The window grows by a millisecond if the event loop is busy for more than this share of the time. */
const busyShare = 0.6;
/**
 * Below this share, the window shrinks. It is far below the other share, because a wider window makes the node less
 * busy.
 */
const idleShare = 0.2;

export class FlushWindow {
  readonly #maxMs: number;
  readonly #timer: NodeJS.Timeout | null;
  #last: EventLoopUtilization = performance.eventLoopUtilization();
  #ms = 0;

  /** `maxMs`: the maximum width; 0 keeps it closed. */
  constructor(maxMs: number) {
    this.#maxMs = maxMs;
    this.#timer = maxMs === 0 ? null : setInterval(() => this.#look(), lookMs);
    this.#timer?.unref();
  }

  /** How long to collect publications, in milliseconds; 0: until the end of the turn. */
  get ms(): number {
    return this.#ms;
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#last);
    this.#last = now;
    this.adapt(utilization);
  }

  /** `utilization`: the share of the time since the last call in which the event loop was busy. */
  adapt(utilization: number): void {
    if (utilization > busyShare) this.#ms = Math.min(this.#maxMs, this.#ms + 1);
    else if (utilization < idleShare) this.#ms = Math.max(0, this.#ms - 1);
  }
}
