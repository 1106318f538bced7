/** The longest delay that is answered. A client that has sent far too much would otherwise be asked to wait for hours. */
const maxDelayMs = 600_000;

/** How much of something may be had a second, with a reserve for bursts (the token bucket of RFC 2697, without its second one). */
export class TokenBucket {
  readonly #perMs: number;
  readonly #most: number;
  #left: number;
  #filledAtMs: number;
  /** The last moment that {@link delayMs} has named. */
  #promisedMs = Number.NEGATIVE_INFINITY;

  /** `perSecond` may be had in the long run, at most `burst` at once; full at first. Times are those of performance.now(). */
  constructor(perSecond: number, burst: number, nowMs: number) {
    this.#perMs = perSecond / 1_000;
    this.#most = burst;
    this.#left = burst;
    this.#filledAtMs = nowMs;
  }

  /** Whether it holds `amount` now, as far as is known here. */
  has(amount: number, nowMs: number): boolean {
    // Most of the time there is enough without what has come in since.
    if (this.#left >= amount) return true;
    this.#fill(nowMs);
    return this.#left >= Math.min(amount, this.#most);
  }

  /**
   * Takes `amount`, or nothing and answers false. What is larger than the bucket is had from a full one, and paid back by those that
   * come after it.
   */
  take(amount: number, nowMs: number): boolean {
    if (!this.has(amount, nowMs)) return false;
    this.charge(amount, nowMs);
    return true;
  }

  /** Whether other nodes have to be asked before `amount` is taken. If so, they are being asked. */
  asksFirst(_amount: number): boolean {
    return false;
  }

  /** Takes `amount`, also if it is not there: what is missing is owed. */
  charge(amount: number, nowMs: number): void {
    this.#fill(nowMs);
    this.#left -= amount;
  }

  /**
   * In how many milliseconds `amount` can be taken, if everyone who asked this before takes first. Nothing is set aside: who
   * comes earlier and finds enough gets it.
   */
  delayMs(amount: number, nowMs: number): number {
    this.#fill(nowMs);
    const missing = Math.max(0, Math.min(amount, this.#most) - this.#left);
    const behindOthersMs = this.#promisedMs + amount / this.#perMs;
    this.#promisedMs = Math.min(nowMs + maxDelayMs, Math.max(nowMs + missing / this.#perMs, behindOthersMs));
    return this.#promisedMs - nowMs;
  }

  /** Has it hold so much: less than nothing is owed. */
  set(left: number, nowMs: number): void {
    this.#left = Math.min(this.#most, left);
    this.#filledAtMs = nowMs;
  }

  /** Whether nothing would be lost by forgetting it. */
  isForgettable(nowMs: number): boolean {
    this.#fill(nowMs);
    return this.#left >= this.#most;
  }

  #fill(nowMs: number): void {
    this.#left = Math.min(this.#most, this.#left + (nowMs - this.#filledAtMs) * this.#perMs);
    this.#filledAtMs = nowMs;
  }
}
