/**
 * A token bucket that several nodes share. The shared state is in Redis. Each node takes tokens from its copy without
 * waiting, and asks Redis before its unreported tokens exceed a small reserve. Tokens taken in excess are a debt: the
 * bucket gives out nothing until it is repaid.
 */
import { TokenBucket } from './token-bucket.js';

/** A budget that all nodes share. */
export interface Budget {
  readonly name: string;
  /** Tokens added per second. */
  readonly perSecond: number;
  /** Maximum number of tokens. */
  readonly burst: number;
}

/** Tokens taken from a budget. */
export interface Spending extends Budget {
  readonly amount: number;
}

/** Reports to Redis what was taken. */
export interface SpendingReporter {
  reportSoon(): void;
  reportNow(): void;
}

/**
 * The share of a burst that a node may take before Redis has answered. If N nodes do so at the same time, they exceed
 * the budget by at most N reserves, and must repay them.
 */
export const reserveShare = 0.1;

/** One node's copy of the bucket. */
export class SharedBucket extends TokenBucket {
  readonly #reserve: number;
  /** Taken, and not reported yet. */
  #unreported = 0;
  /** Reported, and not answered yet. */
  #unanswered = 0;
  /**
   * The source of the copy: none before the first answer of Redis; this node's own count while Redis cannot be reached.
   */
  #basis: 'none' | 'redis' | 'ownCount' = 'none';

  constructor(
    private readonly budget: Budget,
    private readonly reporter: SpendingReporter,
    nowMs: number,
  ) {
    super(budget.perSecond, budget.burst, nowMs);
    this.#reserve = budget.burst * reserveShare;
  }

  override asksFirst(amount: number): boolean {
    const pending = this.#unreported + this.#unanswered;
    if (this.#basis !== 'none' && (pending === 0 || pending + amount <= this.#reserve)) return false;
    this.reporter.reportNow();
    return true;
  }

  override charge(amount: number, nowMs: number): void {
    super.charge(amount, nowMs);
    this.#unreported += amount;
    this.reporter.reportSoon();
  }

  override isForgettable(nowMs: number): boolean {
    if (this.#unreported + this.#unanswered > 0) return false;
    // Redis knows all tokens that were taken here, and a new copy asks Redis first.
    return this.#basis !== 'ownCount' || super.isForgettable(nowMs);
  }

  /** Whether the node must report to Redis or ask it. */
  get needsReport(): boolean {
    return this.#unreported > 0 || this.#basis === 'none';
  }

  /** The tokens to report now. Call {@link onAnswer} afterwards. */
  takeReport(): Spending {
    this.#unanswered = this.#unreported;
    this.#unreported = 0;
    return { ...this.budget, amount: this.#unanswered };
  }

  /** `left`: tokens left in Redis; null if Redis cannot be reached. Then this node uses its own count. */
  onAnswer(left: number | null, nowMs: number): void {
    this.#unanswered = 0;
    this.#basis = left === null ? 'ownCount' : 'redis';
    if (left !== null) this.set(left - this.#unreported, nowMs);
  }
}
