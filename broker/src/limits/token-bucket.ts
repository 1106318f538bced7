/** The longest delay that is returned: a client that has sent far too much should not wait for hours. */
const maxDelayMs = 600_000;

/** Limits a rate, and permits bursts (the token bucket of RFC 2697, without its second bucket). */
export class TokenBucket {
  readonly #perMs: number;
  readonly #most: number;
  #left: number;
  #filledAtMs: number;
  /** The latest time that {@link delayMs} has returned. */
  #promisedMs = Number.NEGATIVE_INFINITY;

  /**
   * Gives out `perSecond` in the long run, and at most `burst` at once. It starts full. Times are of performance.now().
   */
  constructor(perSecond: number, burst: number, nowMs: number) {
    this.#perMs = perSecond / 1_000;
    this.#most = burst;
    this.#left = burst;
    this.#filledAtMs = nowMs;
  }

  /** Whether it contains `amount` now, as far as this node knows. */
  has(amount: number, nowMs: number): boolean {
    // Usually there is enough without filling it first.
    if (this.#left >= amount) return true;
    this.#fill(nowMs);
    return this.#left >= Math.min(amount, this.#most);
  }

  /**
   * Takes `amount`, or takes nothing and returns false. A full bucket gives out more than it contains; later callers
   * wait for the rest.
   */
  take(amount: number, nowMs: number): boolean {
    if (!this.has(amount, nowMs)) return false;
    this.charge(amount, nowMs);
    return true;
  }

  /** Whether Redis must be asked before `amount` is taken. If so, it is being asked. */
  asksFirst(_amount: number): boolean {
    return false;
  }

  /** Takes `amount` in any case: missing tokens are a debt. */
  charge(amount: number, nowMs: number): void {
    this.#fill(nowMs);
    this.#left -= amount;
  }

  /**
   * When `amount` can be taken, in milliseconds from now, if all earlier callers take first. Nothing is reserved for
   * the caller.
   */
  delayMs(amount: number, nowMs: number): number {
    this.#fill(nowMs);
    const missing = Math.max(0, Math.min(amount, this.#most) - this.#left);
    const behindOthersMs = this.#promisedMs + amount / this.#perMs;
    this.#promisedMs = Math.min(nowMs + maxDelayMs, Math.max(nowMs + missing / this.#perMs, behindOthersMs));
    return this.#promisedMs - nowMs;
  }

  /** Sets what it contains; a negative number is a debt. */
  set(left: number, nowMs: number): void {
    this.#left = Math.min(this.#most, left);
    this.#filledAtMs = nowMs;
  }

  /** Whether it can be forgotten without effect. */
  isForgettable(nowMs: number): boolean {
    this.#fill(nowMs);
    return this.#left >= this.#most;
  }

  #fill(nowMs: number): void {
    this.#left = Math.min(this.#most, this.#left + (nowMs - this.#filledAtMs) * this.#perMs);
    this.#filledAtMs = nowMs;
  }
}
