/** What the doors of all nodes have to know of each other: what is revoked, and which tickets were sold. */
import type { Spending } from '../limits/shared-bucket.js';
import type { Revocation } from './revocations.js';

export interface AuthStore {
  /** Tells all nodes, this one included, within a second. Rejects with {@link AuthError} `unavailable` where that cannot be. */
  revoke(revocation: Revocation): Promise<void>;

  /** Keeps something for `ttlMs` under a name that nobody has used. Rejects as {@link revoke} does. */
  keep(name: string, value: string, ttlMs: number): Promise<void>;

  /** What is kept under the name, which nobody else gets any more; null where there is nothing. Rejects as {@link revoke} does. */
  take(name: string): Promise<string | null>;

  /** Whether all that was revoked so far is known here. */
  readonly isCurrent: boolean;

  /** Takes from budgets that all nodes share. Resolves with what is left of each, less than nothing if it is owed; rejects as {@link revoke} does. */
  spend(spendings: readonly Spending[]): Promise<readonly number[]>;

  /**
   * Counts one more connection of the subject of `name` at this node, which has `count` of them then. Resolves with whether all nodes together
   * have no more than `most`; if not, it is not counted. Rejects as {@link revoke} does.
   */
  enter(name: string, count: number, most: number): Promise<boolean>;

  /** Says how many connections subjects have at this node: when one has ended, and now and then, for a node that is gone counts no more. */
  report(counts: readonly (readonly [name: string, count: number])[]): void;

  close(): Promise<void>;
}

/** Called with what is revoked; with the same once or more often. */
export type OnRevoked = (revocations: readonly Revocation[]) => void;
