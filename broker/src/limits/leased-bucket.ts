/**
 * A part of a budget that several nodes share. What is taken here is had from the whole in pieces, in the background: no publication waits
 * for an answer, and a node that begins with a full bucket owes it to the whole.
 */
import { type Bucket, TokenBucket } from './token-bucket.js';

/** Asks the whole for up to `amount`; resolves with what it gives, rejects where it cannot be asked. */
export type Lease = (amount: number) => Promise<number>;

/** Where the whole gives nothing, or cannot be asked, it is asked again after this, in milliseconds. */
const pauseMs = 250;

export class LeasedBucket implements Bucket {
  readonly #lease: Lease;
  readonly #most: number;
  readonly #refillMs: number;
  /** What holds while the whole cannot be asked: the limit on this node alone. */
  readonly #alone: TokenBucket;
  #left: number;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #takenAtMs: number;
  #isAsking = false;

  constructor(lease: Lease, perSecond: number, burst: number, nowMs: number) {
    this.#lease = lease;
    this.#most = burst;
    this.#refillMs = (burst / perSecond) * 1_000;
    this.#takenAtMs = nowMs;
    this.#alone = new TokenBucket(perSecond, burst, nowMs);
    this.#left = burst;
    void this.#ask(burst, nowMs, -burst);
  }

  take(amount: number, nowMs: number): boolean {
    this.#takenAtMs = nowMs;
    const isEnough = this.#left >= Math.min(amount, this.#most);
    if (isEnough) this.#left -= amount;
    if (this.#left < this.#most / 2 && !this.#isAsking && nowMs - this.#askedAtMs >= pauseMs) {
      void this.#ask(Math.ceil(this.#most - this.#left), nowMs, 0);
    }
    return isEnough;
  }

  /** Its successor would begin with a full one: the whole must have become full meanwhile. */
  isFull(nowMs: number): boolean {
    return nowMs - this.#takenAtMs >= this.#refillMs;
  }

  /** `owed`: what was spent of it before it came. */
  async #ask(amount: number, nowMs: number, owed: number): Promise<void> {
    this.#isAsking = true;
    let granted: number;
    try {
      granted = await this.#lease(amount);
    } catch {
      granted = this.#alone.take(amount, nowMs) ? amount : 0;
    }
    this.#isAsking = false;
    this.#left += granted + owed;
    // Who got something may ask again at once.
    this.#askedAtMs = granted > 0 ? Number.NEGATIVE_INFINITY : nowMs;
  }
}
