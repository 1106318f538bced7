/** The state of authentication that all nodes share: revocations, tickets, budgets, and connections of each subject. */
import type { Spending } from '../limits/shared-bucket.js';
import { AuthError } from './auth-error.js';
import type { Revocation } from './revocations.js';

/** How long a report of connections is valid, in milliseconds, if its node sends heartbeats. */
export const reportedForMs = 90_000;

/** Length of a key of {@link AuthStore.clusterKeys}. */
export const clusterKeyBytes = 32;

export interface AuthStore {
  /**
   * Revokes at this node immediately, and at all other nodes within a second. Rejects with {@link AuthError}
   * `unavailable` if they cannot be reached. The revocation is then valid at this node, and the store retries until it
   * is closed.
   */
  revoke(revocation: Revocation): Promise<void>;

  /** Removes expired revocations. */
  forget(revocations: readonly Revocation[]): void;

  /** Keeps a value for `ttlMs` under a new name. Rejects with {@link AuthError} `unavailable` if it cannot. */
  keep(name: string, value: string, ttlMs: number): Promise<void>;

  /** Returns the value of the name and removes it; null if there is none. Rejects as {@link keep} does. */
  take(name: string): Promise<string | null>;

  /**
   * Secret keys of all nodes together, of 32 bytes each: the current one first, then those that were current before. A
   * key is random and kept as long as the store. Rejects as {@link keep} does.
   */
  clusterKeys(): Promise<readonly [Buffer, ...Buffer[]]>;

  /** Age of the revocation list of this node, in milliseconds; before the first read, the age of the store. */
  readonly revocationLagMs: number;

  /** Whether the revocation list is recent enough to accept a token. */
  readonly isCurrent: boolean;

  /**
   * Takes from budgets that all nodes share. Resolves with the tokens left in each; negative: a debt. Rejects as
   * {@link keep} does.
   */
  spend(spendings: readonly Spending[]): Promise<readonly number[]>;

  /**
   * Counts one more connection of a subject at this node, the `count`th. Resolves with false, and does not count it, if
   * all nodes together would have more than `most`. Rejects as {@link keep} does.
   */
  admit(name: string, count: number, most: number): Promise<boolean>;

  /**
   * Reports how many connections subjects have at this node. Needed when one ends, and regularly, because reports
   * expire.
   */
  report(counts: readonly (readonly [name: string, count: number])[]): void;

  close(): Promise<void>;
}

/** Called with revocations, with each once or more often. */
export type OnRevoked = (revocations: readonly Revocation[]) => void;

/** Throws {@link AuthError} `unavailable` unless the revocation list is current. */
export function refuseOutdated({ isCurrent }: Pick<AuthStore, 'isCurrent'>): void {
  if (isCurrent) return;
  throw new AuthError(
    'unavailable',
    'This node has no current revocation list from Redis, so it accepts no token. Retry.',
  );
}
