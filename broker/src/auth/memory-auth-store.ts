/** The store of a single node. */
import type { AuthStore, OnRevoked } from './auth-store.js';
import type { Revocation } from './revocations.js';

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
    this.#onRevoked(revocation);
  }

  async keep(name: string, value: string, ttlMs: number): Promise<void> {
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
