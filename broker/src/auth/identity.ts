/** Who a connection belongs to, as its token says. */
import type { IssuerKey } from './auth-config.js';
import type { Permissions } from './permissions.js';

export interface Identity {
  /** Null of an API key. */
  readonly issuer: string | null;
  readonly subject: string;
  /** That its token is signed with; null of an API key. */
  readonly signedWith: IssuerKey | null;
  readonly tokenId: string | null;
  /** The earliest moment at which it can have been issued, milliseconds since the epoch; null where the token does not say. */
  readonly issuedAtMs: number | null;
  /** Milliseconds since the epoch; null where the token does not expire. */
  readonly expiresAtMs: number | null;
  /** The same, and how far the clock of the issuer may be off. */
  readonly acceptedUntilMs: number | null;
  readonly permissions: Permissions;
  /** An API key: the rate limits of users do not apply. */
  readonly isService: boolean;
  /** Identities with the same one share their messageIds; null: those of the subject are its own. */
  readonly messageIdGroup: string | null;
  /** May revoke. */
  readonly isAdmin: boolean;
}
