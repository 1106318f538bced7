/** The owner of a connection, according to its token. */
import type { IssuerKey } from './auth-config.js';
import type { Permissions } from './permissions.js';

export interface Identity {
  /** Null for an API key. */
  readonly issuer: string | null;
  readonly subject: string;
  /** The key that signed the token; null for an API key. */
  readonly signedWith: IssuerKey | null;
  readonly tokenId: string | null;
  /**
   * The earliest time when the token can have been issued, in milliseconds since the epoch; null if it does not say.
   */
  readonly issuedAtMs: number | null;
  /** Milliseconds since the epoch; null if the token does not expire. */
  readonly expiresAtMs: number | null;
  /** `expiresAtMs` plus the allowed clock difference to the issuer. */
  readonly acceptedUntilMs: number | null;
  readonly permissions: Permissions;
  /** Whether it is an API key: the rate limits of users do not apply. */
  readonly isService: boolean;
  /** Identities of one group share their messageIds. Null: the subject shares them with no other. */
  readonly messageIdGroup: string | null;
  /** Whether it may revoke. */
  readonly isAdmin: boolean;
}
