/** The store of a single node. */
import type { Spending } from '../limits/shared-bucket.js';
import { AuthError } from './auth-error.js';
import type { AuthStore, OnRevoked } from './auth-store.js';
import type { Revocation } from './revocations.js';

/** Most tickets that may wait to be used, about 10 kB each at most. */
const maxKept = 10_000;

interface Kept {
  readonly value: string;
  readonly timer: NodeJS.Timeout;
}

export class MemoryAuthStore implements AuthStore {
  readonly #onRevoked: OnRevoked;
  readonly #kept = new Map<string, Kept>();

  constructor(onRevoked: OnRevoked) {
    this.#onRevoked = onRevoked;
  }

  async revoke(revocation: Revocation): Promise<void> {
    this.#onRevoked([revocation]);
  }

  /** Nothing of it is kept here. */
  forget(): void {}

  readonly revocationLagMs = 0;
  readonly isCurrent = true;

  /** There is nobody to share with: the buckets of this node are the whole. */
  async spend(spendings: readonly Spending[]): Promise<readonly number[]> {
    return spendings.map(({ burst }) => burst);
  }

  /** This node counts for itself. */
  async admit(): Promise<boolean> {
    return true;
  }

  report(): void {}

  async keep(name: string, value: string, ttlMs: number): Promise<void> {
    if (this.#kept.size >= maxKept) throw new AuthError('unavailable', 'Too many unused tickets. Retry.');
    const timer = setTimeout(() => this.#kept.delete(name), ttlMs);
    timer.unref();
    this.#kept.set(name, { value, timer });
  }

  async take(name: string): Promise<string | null> {
    const kept = this.#kept.get(name);
    if (kept === undefined) return null;
    clearTimeout(kept.timer);
    this.#kept.delete(name);
    return kept.value;
  }

  async close(): Promise<void> {
    for (const { timer } of this.#kept.values()) clearTimeout(timer);
  }
}
