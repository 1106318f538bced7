/** How much of something may be had a second, with a reserve for bursts (the token bucket of RFC 2697, without its second one). */
export class TokenBucket {
  readonly #perMs: number;
  readonly #most: number;
  #left: number;
  #filledAtMs: number;

  /** `perSecond` may be had in the long run, at most `burst` at once; full at first. Times are those of performance.now(). */
  constructor(perSecond: number, burst: number, nowMs: number) {
    this.#perMs = perSecond / 1_000;
    this.#most = burst;
    this.#left = burst;
    this.#filledAtMs = nowMs;
  }

  /**
   * Takes `amount`, or nothing and answers false. What is larger than the bucket is had from a full one, and paid back by those that
   * come after it.
   */
  take(amount: number, nowMs: number): boolean {
    this.#fill(nowMs);
    if (this.#left < Math.min(amount, this.#most)) return false;
    this.#left -= amount;
    return true;
  }

  /** Whether it is as a new one would be. */
  isFull(nowMs: number): boolean {
    this.#fill(nowMs);
    return this.#left === this.#most;
  }

  #fill(nowMs: number): void {
    this.#left = Math.min(this.#most, this.#left + (nowMs - this.#filledAtMs) * this.#perMs);
    this.#filledAtMs = nowMs;
  }
}
