/** What the doors of all nodes have to know of each other: what is revoked, and which tickets were sold. */

import type { Spending } from '../limits/shared-bucket.js';
import { AuthError } from './auth-error.js';
import type { Revocation } from './revocations.js';

export interface AuthStore {
  /**
   * Revokes at this node at once, and at all other nodes within a second. Rejects with {@link AuthError} `unavailable` if they cannot be
   * reached: it holds at this node then, and the store goes on trying to reach them for as long as it is open.
   */
  revoke(revocation: Revocation): Promise<void>;

  /** What is over, and need not be kept for nodes that start later. */
  forget(revocations: readonly Revocation[]): void;

  /** Keeps something for `ttlMs` under a name that nobody has used. Rejects with {@link AuthError} `unavailable` if it cannot. */
  keep(name: string, value: string, ttlMs: number): Promise<void>;

  /** What is kept under the name, which nobody else gets any more; null where there is nothing. Rejects as {@link keep} does. */
  take(name: string): Promise<string | null>;

  /** How long ago all that was revoked was known here, in milliseconds; before the first time, how long that has taken. */
  readonly revocationLagMs: number;

  /** Whether that is recent enough to accept a token. */
  readonly isCurrent: boolean;

  /** Takes from budgets that all nodes share. Resolves with what is left of each, less than nothing if it is owed; rejects as {@link keep} does. */
  spend(spendings: readonly Spending[]): Promise<readonly number[]>;

  /**
   * Counts one more connection of the subject of `name` at this node, which has `count` of them then. Resolves with whether all nodes together
   * have no more than `most`; if not, it is not counted. Rejects as {@link keep} does.
   */
  admit(name: string, count: number, most: number): Promise<boolean>;

  /** Says how many connections subjects have at this node: when one has ended, and now and then, for a node that is gone counts no more. */
  report(counts: readonly (readonly [name: string, count: number])[]): void;

  close(): Promise<void>;
}

/** Called with what is revoked; with the same once or more often. */
export type OnRevoked = (revocations: readonly Revocation[]) => void;

/** Throws {@link AuthError} `unavailable` unless it is known what is revoked. */
export function refuseOutdated({ isCurrent }: Pick<AuthStore, 'isCurrent'>): void {
  if (isCurrent) return;
  throw new AuthError(
    'unavailable',
    'This node has no current revocation list from Redis, so it accepts no token. Retry.',
  );
}
