/**
 * The budgets of one subject as this node keeps them: tells the other nodes what was taken here, of all budgets together, and wakes those
 * who wait for the answer.
 */
import { type Budget, SharedBucket, type Spending, type Teller } from './shared-bucket.js';

/**
 * Takes from budgets that all nodes share. Resolves with what is left of each, less than nothing if it is owed. Rejects if the other
 * nodes cannot be told.
 */
export type Spend = (spendings: readonly Spending[]) => Promise<readonly number[]>;

/** How long what was taken is gathered before the other nodes are told, in milliseconds. */
const tellMs = 100;

export class Ledger implements Teller {
  readonly #spend: Spend;
  readonly #buckets: SharedBucket[] = [];
  #timer: NodeJS.Timeout | null = null;
  #isTelling = false;
  #waiting: (() => void)[] = [];

  constructor(spend: Spend) {
    this.#spend = spend;
  }

  open(budget: Budget, nowMs: number): SharedBucket {
    const bucket = new SharedBucket(budget, this, nowMs);
    this.#buckets.push(bucket);
    return bucket;
  }

  tellSoon(): void {
    if (this.#timer !== null || this.#isTelling) return;
    this.#timer = setTimeout(() => this.tellNow(), tellMs);
    this.#timer.unref();
  }

  tellNow(): void {
    if (this.#isTelling) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    // Nobody awaits this: `#tell` does not reject.
    void this.#tell();
  }

  /** Calls once when the other nodes have answered next, or cannot be asked. */
  onceHeard(resume: () => void): void {
    this.#waiting.push(resume);
  }

  async #tell(): Promise<void> {
    this.#isTelling = true;
    const buckets = this.#buckets.filter(({ isWorthTelling }) => isWorthTelling);
    // While they cannot be told this node counts alone.
    const left = await this.#spend(buckets.map((bucket) => bucket.tell())).catch(() => null);
    const now = performance.now();
    for (const [index, bucket] of buckets.entries()) bucket.hear(left?.[index] ?? null, now);
    this.#isTelling = false;
    if (this.#buckets.some(({ isWorthTelling }) => isWorthTelling)) this.tellSoon();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}
