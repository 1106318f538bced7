/** The clock of Redis, as this node knows it. It counts milliseconds and never goes back (lua/heartbeat.lua). */
export class RedisClock {
  #newestMs = 0;
  /** When the request was sent that Redis answered with `#newestMs`, by performance.now(). */
  #askedAt = 0;

  /** The newest time that Redis has returned; 0 before the first. */
  get newestMs(): number {
    return this.#newestMs;
  }

  /** `askedAt`: when the request was sent that Redis answered with this time, by performance.now(). */
  update(ms: number, askedAt: number): void {
    if (ms <= this.#newestMs) return;
    this.#newestMs = ms;
    this.#askedAt = askedAt;
  }

  /** The time now, as far as this node knows; 0 before Redis has returned one. */
  get nowMs(): number {
    return this.#newestMs === 0 ? 0 : Math.round(this.ageOf(0));
  }

  /** How long ago a time of this clock was, in milliseconds. */
  ageOf(ms: number): number {
    return performance.now() - this.#askedAt + this.#newestMs - ms;
  }
}
