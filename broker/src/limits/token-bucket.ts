/** What can be taken from, as much as there is. */
export interface Bucket {
  /** Takes `amount`, or nothing and answers false. */
  take(amount: number, nowMs: number): boolean;
  /** Whether nothing would be lost by forgetting it. */
  isFull(nowMs: number): boolean;
}

/** How much of something may be had a second, with a reserve for bursts (the token bucket of RFC 2697, without its second one). */
export class TokenBucket implements Bucket {
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

  /** Has it hold so much: less than nothing is owed. */
  set(left: number, nowMs: number): void {
    this.#left = Math.min(this.#most, left);
    this.#filledAtMs = nowMs;
  }

  isFull(nowMs: number): boolean {
    this.#fill(nowMs);
    return this.#left >= this.#most;
  }

  #fill(nowMs: number): void {
    this.#left = Math.min(this.#most, this.#left + (nowMs - this.#filledAtMs) * this.#perMs);
    this.#filledAtMs = nowMs;
  }
}
