/**
 * How fast commands of one kind leave. At first only a few are unanswered, then more. Once the node refuses some with
 * `rateLimited`, the commands leave at a pace. The rate belongs to a user, and its other connections send too. So the
 * client has to find its share by trial.
 *
 * A refusal doubles the time between two commands, and each `halvingMs` halves it. So a connection slows down once in
 * `halvingMs` on average, whatever the rate is and however many connections share it. With 20 connections that makes
 * ten refusals per second, the minimum that each node forgives. Measured: `npm run bench -w client`.
 */

/** Commands that may be unanswered at first. The 20 connections of a user may all begin at once. */
const firstWindow = 16;

/** How long it takes without refusals until the time between two commands is half as long. */
const halvingMs = 2_000;

/** After this long without commands the node has room for a burst again. */
const restMs = 2_000;

/** For a `rateLimited` without a time. */
const defaultRetryAfterMs = 100;

export class Pacer {
  readonly #maxWindow: number;
  #window = firstWindow;
  #unanswered = 0;
  /** How many of those were sent before the pace slowed down. A refusal of these is no evidence about the new pace. */
  #outdated = 0;
  /** Number of refusals among the commands sent before the first refusal; 0 after the next refusal. */
  #refusals = 0;
  /** Between commands; 0 while nothing is refused. */
  #intervalMs = 0;
  /** When the interval had that value. */
  #asOfMs = 0;
  /** When the next command may leave. */
  #nextMs = 0;

  /** `maxWindow`: maximum number of unanswered commands. */
  constructor(maxWindow: number) {
    this.#maxWindow = maxWindow;
  }

  /**
   * How long the next command has to wait, in milliseconds. It need not wait if this is 0 or less. If it is infinite,
   * the command must wait for an answer.
   */
  get delayMs(): number {
    if (this.#unanswered >= this.#window) return Number.POSITIVE_INFINITY;
    return this.#intervalMs === 0 ? 0 : this.#nextMs - performance.now();
  }

  /** Whether commands wait because the node has refused some. */
  get isSlow(): boolean {
    return this.#intervalMs > 0;
  }

  /** Whether so few are unanswered that it is worth sending more. */
  get wantsMore(): boolean {
    return this.isSlow || this.#unanswered <= this.#window / 2;
  }

  /** There is a new connection, whose rate is unknown. */
  restart(): void {
    this.#window = firstWindow;
  }

  /** A command was sent. */
  sent(): void {
    this.#unanswered++;
    if (!this.isSlow) return;
    const now = performance.now();
    if (now - this.#nextMs > restMs) {
      this.#intervalMs = 0;
      this.restart();
    } else this.#nextMs += this.#adapt(now);
  }

  /** `count` commands were answered, not with `rateLimited`. */
  answered(count = 1): void {
    this.forget(count);
    if (!this.isSlow) this.#window = Math.min(this.#maxWindow, this.#window + count / 2);
  }

  /** `count` commands will not be answered: their connection was lost, or they were cancelled. */
  forget(count = 1): void {
    this.#unanswered -= count;
    this.#outdated = Math.max(0, this.#outdated - count);
  }

  /** A command was answered with `rateLimited`. */
  refused(retryAfterMs: number | null): void {
    const isOutdated = this.#outdated > 0;
    this.forget();
    this.#slowDown(isOutdated, retryAfterMs);
  }

  /** The node refused a command without an id. */
  refusedUnasked(retryAfterMs: number | null): void {
    this.#slowDown(this.#outdated > 0, retryAfterMs);
  }

  #slowDown(isOutdated: boolean, retryAfterMs: number | null): void {
    const delayMs = retryAfterMs ?? defaultRetryAfterMs;
    if (isOutdated) {
      // The node returns a later time for each of them. At the last of these times, it has room for all of these
      // commands.
      if (this.#refusals > 0) this.#intervalMs = delayMs / ++this.#refusals;
      return;
    }
    const now = performance.now();
    this.#refusals = this.isSlow ? 0 : 1;
    this.#intervalMs = this.isSlow ? 2 * this.#adapt(now) : delayMs;
    this.#asOfMs = now;
    this.#nextMs = now + this.#intervalMs;
    this.#outdated = this.#unanswered;
  }

  #adapt(now: number): number {
    this.#intervalMs *= 2 ** ((this.#asOfMs - now) / halvingMs);
    this.#asOfMs = now;
    return this.#intervalMs;
  }
}
