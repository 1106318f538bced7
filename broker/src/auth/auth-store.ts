/** What the doors of all nodes have to know of each other: what is revoked, and which tickets were sold. */
import type { Revocation } from './revocations.js';

export interface AuthStore {
  /** Tells all nodes, this one included, within a second. Rejects with {@link AuthError} `unavailable` where that cannot be. */
  revoke(revocation: Revocation): Promise<void>;

  /** Keeps something for `ttlMs` under a name that nobody has used. Rejects as {@link revoke} does. */
  keep(name: string, value: string, ttlMs: number): Promise<void>;

  /** What is kept under the name, which nobody else gets any more; null where there is nothing. Rejects as {@link revoke} does. */
  take(name: string): Promise<string | null>;

  close(): Promise<void>;
}

/** Called with each revocation, once or more often. */
export type OnRevoked = (revocation: Revocation) => void;
