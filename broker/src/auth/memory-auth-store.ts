/** The store of a single node, in memory. */
import { randomBytes } from 'node:crypto';
import type { Spending } from '../limits/shared-bucket.js';
import { AuthError } from './auth-error.js';
import { type AuthStore, clusterKeyBytes, type OnRevoked } from './auth-store.js';
import type { Revocation } from './revocations.js';

/** Maximum number of unused tickets, of up to 10 kB each. */
const maxKept = 10_000;

interface Kept {
  readonly value: string;
  readonly timer: NodeJS.Timeout;
}

export class MemoryAuthStore implements AuthStore {
  readonly #kept = new Map<string, Kept>();
  readonly #clusterKey = randomBytes(clusterKeyBytes);

  constructor(private readonly onRevoked: OnRevoked) {}

  async revoke(revocation: Revocation): Promise<void> {
    this.onRevoked([revocation]);
  }

  /** Revocations are not stored here. */
  forget(): void {}

  readonly revocationLagMs = 0;
  readonly isCurrent = true;

  /** There are no other nodes: the buckets are always full here, and the node counts in its own. */
  async spend(spendings: readonly Spending[]): Promise<readonly number[]> {
    return spendings.map(({ burst }) => burst);
  }

  /** There are no other nodes to count. */
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

  async clusterKeys(): Promise<readonly [Buffer]> {
    return [this.#clusterKey];
  }

  async close(): Promise<void> {
    for (const { timer } of this.#kept.values()) clearTimeout(timer);
  }
}
