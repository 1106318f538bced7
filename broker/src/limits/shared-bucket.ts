/**
 * A token bucket that several nodes share: the whole is in Redis, and each node takes from a copy at once. Before it takes more than a
 * small reserve of which the whole does not know yet, it asks. What was taken too much is owed, and paid back before anything else is had.
 */
import { TokenBucket } from './token-bucket.js';

/** One of the budgets that all nodes share. */
export interface Budget {
  readonly name: string;
  /** What comes in a second. */
  readonly perSecond: number;
  /** The most that it holds. */
  readonly burst: number;
}

/** What is taken from a budget. */
export interface Spending extends Budget {
  readonly amount: number;
}

/** Tells the whole what was taken. */
export interface Teller {
  tellSoon(): void;
  tellNow(): void;
}

/**
 * The share of a burst that a node may take before the whole has answered. N nodes that take it at the same moment exceed the budget by N
 * reserves at most, and owe that.
 */
export const reserveShare = 0.1;

/** The copy that a node has of the whole. */
export class SharedBucket extends TokenBucket {
  readonly #budget: Budget;
  readonly #teller: Teller;
  readonly #reserve: number;
  /** Taken, and not told yet. */
  #untold = 0;
  /** Told, and not answered yet. */
  #unanswered = 0;
  /** What the copy goes by: nothing before the whole has answered first; this node's own count while the whole cannot be asked. */
  #basis: 'nothing' | 'whole' | 'ownCount' = 'nothing';

  constructor(budget: Budget, teller: Teller, nowMs: number) {
    super(budget.perSecond, budget.burst, nowMs);
    this.#budget = budget;
    this.#teller = teller;
    this.#reserve = budget.burst * reserveShare;
  }

  override asksFirst(amount: number): boolean {
    const unheard = this.#untold + this.#unanswered;
    if (this.#basis !== 'nothing' && (unheard === 0 || unheard + amount <= this.#reserve)) return false;
    this.#teller.tellNow();
    return true;
  }

  override charge(amount: number, nowMs: number): void {
    super.charge(amount, nowMs);
    this.#untold += amount;
    this.#teller.tellSoon();
  }

  override isForgettable(nowMs: number): boolean {
    if (this.#untold + this.#unanswered > 0) return false;
    // The whole knows what was taken here, and is asked before another copy is used.
    return this.#basis !== 'ownCount' || super.isForgettable(nowMs);
  }

  /** Whether there is something to tell, or to ask. */
  get isWorthTelling(): boolean {
    return this.#untold > 0 || this.#basis === 'nothing';
  }

  /** What is to be told now: {@link hear} answers it. */
  tell(): Spending {
    this.#unanswered = this.#untold;
    this.#untold = 0;
    return { ...this.#budget, amount: this.#unanswered };
  }

  /** `left`: what is left of the whole; null if it cannot be asked. Then this node counts alone. */
  hear(left: number | null, nowMs: number): void {
    this.#unanswered = 0;
    this.#basis = left === null ? 'ownCount' : 'whole';
    if (left !== null) this.set(left - this.#untold, nowMs);
  }
}
