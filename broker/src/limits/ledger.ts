/**
 * The budgets of one subject at this node. Reports the taken tokens of all budgets to the other nodes, and resumes
 * waiting commands.
 */
import { type Budget, SharedBucket, type Spending, type SpendingReporter } from './shared-bucket.js';

/**
 * Takes from budgets that all nodes share. Resolves with the tokens left in each; negative: a debt. Rejects if Redis
 * cannot be reached.
 */
export type Spend = (spendings: readonly Spending[]) => Promise<readonly number[]>;

/** How long spendings are collected before they are reported, in milliseconds. */
const reportMs = 100;

export class Ledger implements SpendingReporter {
  readonly #buckets: SharedBucket[] = [];
  #timer: NodeJS.Timeout | null = null;
  #isReporting = false;
  #waiting: (() => void)[] = [];

  constructor(private readonly spend: Spend) {}

  open(budget: Budget, nowMs: number): SharedBucket {
    const bucket = new SharedBucket(budget, this, nowMs);
    this.#buckets.push(bucket);
    return bucket;
  }

  reportSoon(): void {
    if (this.#timer !== null || this.#isReporting) return;
    this.#timer = setTimeout(() => this.reportNow(), reportMs);
    this.#timer.unref();
  }

  reportNow(): void {
    if (this.#isReporting) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    // Not awaited: `#report` does not reject.
    void this.#report();
  }

  /** Calls `resume` once after the next answer, or if Redis cannot be reached. */
  onceAnswered(resume: () => void): void {
    this.#waiting.push(resume);
  }

  async #report(): Promise<void> {
    this.#isReporting = true;
    const buckets = this.#buckets.filter(({ needsReport }) => needsReport);
    // While Redis cannot be reached, this node uses its own count.
    const left = await this.spend(buckets.map((bucket) => bucket.takeReport())).catch(() => null);
    const now = performance.now();
    for (const [index, bucket] of buckets.entries()) bucket.onAnswer(left?.[index] ?? null, now);
    this.#isReporting = false;
    if (this.#buckets.some(({ needsReport }) => needsReport)) this.reportSoon();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}
