/**
 * How long publications are collected before they are sent together. An idle node sends them at once. A busy node waits
 * a few milliseconds. A flush of any size costs a system call for each subscriber and a command for each topic.
 *
 * With several Redis servers, a flush is divided into a call for each. What a call costs in addition to its publications
 * is not divided. So the node then sends fewer flushes: the next one waits for a millisecond for each further call.
 */
import { type EventLoopUtilization, performance } from 'node:perf_hooks';

/** How often the load is measured, in milliseconds. */
const lookMs = 100;

/** The window grows by a millisecond if the event loop is busy for more than this share of the time. */
const busyShare = 0.6;
/** Below this share, the window shrinks at once. */
const idleShare = 0.2;
/**
 * Between the two shares, nobody knows whether the node has time or whether only the window makes it less busy. So the
 * node tries a narrower window after this many measurements. Each trial that makes it busy again doubles the number.
 */
const minPatience = 10;
const maxPatience = 640;

/** How long the next flush waits for each call of a flush but the first, in milliseconds. */
const msPerFurtherCall = 1;

export class FlushWindow {
  readonly #maxMs: number;
  readonly #timer: NodeJS.Timeout | null;
  #last: EventLoopUtilization = performance.eventLoopUtilization();
  #ms = 0;
  #patience = minPatience;
  /** Measurements without a busy node since the width last changed. */
  #calm = 0;
  /** Whether the last change was a trial with a narrower window. */
  #isTrial = false;
  /** What the next flush sends: one for each relay. */
  #flushes: (() => void)[] = [];
  #flushTimer: NodeJS.Timeout | undefined;
  /** Before this time there is no flush, by performance.now(). */
  #earliestAt = 0;

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

  /**
   * Calls `flush` at the end of the window: at the earliest, after this turn. What other relays of the node plan until
   * then is sent at the same time.
   */
  plan(flush: () => void): void {
    this.#flushes.push(flush);
    if (this.#flushes.length > 1) return;
    const ms = Math.max(this.#ms, Math.ceil(this.#earliestAt - performance.now()));
    if (ms === 0) setImmediate(this.#flushAll);
    else this.#flushTimer = setTimeout(this.#flushAll, ms);
  }

  /** Flushes must not be planned any more. */
  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    clearTimeout(this.#flushTimer);
  }

  readonly #flushAll = (): void => {
    const flushes = this.#flushes;
    this.#flushes = [];
    const furtherMs = Math.min(this.#maxMs, (flushes.length - 1) * msPerFurtherCall);
    if (furtherMs > 0) this.#earliestAt = performance.now() + furtherMs;
    for (const flush of flushes) flush();
  };

  #look(): void {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#last);
    this.#last = now;
    this.adapt(utilization);
  }

  /** `utilization`: the share of the time since the last call in which the event loop was busy. */
  adapt(utilization: number): void {
    if (utilization > busyShare) {
      if (this.#isTrial) this.#patience = Math.min(maxPatience, this.#patience * 2);
      this.#isTrial = false;
      this.#calm = 0;
      this.#ms = Math.min(this.#maxMs, this.#ms + 1);
      return;
    }
    this.#calm++;
    const isIdle = utilization < idleShare;
    if (!isIdle && this.#calm < this.#patience) return;
    // The load has fallen: a trial has lasted, or the node is idle.
    if (isIdle || this.#isTrial) this.#patience = minPatience;
    this.#isTrial = this.#ms > 0;
    this.#calm = 0;
    this.#ms = Math.max(0, this.#ms - 1);
  }
}
