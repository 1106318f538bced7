/**
 * A token bucket that several nodes have together. Each has a copy that it takes from at once, and tells the whole afterwards what it took:
 * no publication waits for an answer. What was too much meanwhile is owed, and paid back before anything else is had.
 */
import { type Bucket, TokenBucket } from './token-bucket.js';

/** Takes `amount` from the whole; resolves with what is left of it, less than nothing where it is owed. Rejects where it cannot be told. */
export type Spend = (amount: number) => Promise<number>;

/** How often the whole is told at most, in milliseconds. */
const tellMs = 100;

export class SharedBucket implements Bucket {
  readonly #spend: Spend;
  readonly #copy: TokenBucket;
  /** Taken, and not told yet. */
  #untold = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(spend: Spend, perSecond: number, burst: number, nowMs: number) {
    this.#spend = spend;
    this.#copy = new TokenBucket(perSecond, burst, nowMs);
    // Others may have taken from it.
    this.#plan(0);
  }

  has(amount: number, nowMs: number): boolean {
    return this.#copy.has(amount, nowMs);
  }

  delayMs(amount: number, nowMs: number): number {
    return this.#copy.delayMs(amount, nowMs);
  }

  take(amount: number, nowMs: number): boolean {
    if (!this.#copy.take(amount, nowMs)) return false;
    this.#untold += amount;
    this.#plan(tellMs);
    return true;
  }

  isFull(nowMs: number): boolean {
    return this.#timer === null && this.#untold === 0 && this.#copy.isFull(nowMs);
  }

  #plan(delayMs: number): void {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => void this.#tell(), delayMs);
    this.#timer.unref();
  }

  async #tell(): Promise<void> {
    const told = this.#untold;
    this.#untold = 0;
    try {
      const left = await this.#spend(told);
      this.#copy.set(left - this.#untold, performance.now());
    } catch {
      // While the whole cannot be told this node counts alone.
    }
    this.#timer = null;
    if (this.#untold > 0) this.#plan(tellMs);
  }
}
