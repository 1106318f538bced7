/** What the connections of a node share for authentication and for the limits of their subjects. */
import type { AuthStore } from '../auth/auth-store.js';
import type { Authenticator } from '../auth/authenticator.js';
import type { Hook } from '../auth/hook.js';
import type { Revocations } from '../auth/revocations.js';
import type { StreamCredentials } from '../auth/stream-credentials.js';
import type { Tickets } from '../auth/tickets.js';
import type { Subjects } from '../limits/subjects.js';
import type { Relay } from '../relay/relay.js';

export interface SessionContext {
  readonly authenticator: Authenticator;
  readonly tickets: Tickets;
  readonly streamCredentials: StreamCredentials;
  readonly revocations: Revocations;
  readonly store: Pick<AuthStore, 'isCurrent' | 'revocationLagMs'>;
  readonly subjects: Subjects;
  readonly relay: Pick<Relay, 'hasHistory' | 'hasPublished'>;
  /** Null without an authorization hook. */
  readonly hook: Hook | null;
  readonly authTimeoutMs: number;
  readonly counters: SessionCounters;
  /** Connections that have not authenticated yet. */
  unauthenticated: number;
  /** A name that no other connection of the broker has. */
  nextId(): string;
  /** Called for each failed authentication. `reason` contains no part of the token. */
  onFailed(reason: string): void;
  /** Called for an unexpected error: a bug. */
  onBug(error: unknown): void;
}

interface SessionCounters {
  authentications: number;
  authenticationsFailed: number;
  authenticationTimeouts: number;
  tokensExpired: number;
  subjectsRefused: number;
  commandsNotPermitted: number;
  commandsLimited: number;
  connectionsRevoked: number;
  connectionsKeyRemoved: number;
}
