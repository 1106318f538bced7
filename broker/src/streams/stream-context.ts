/** What the event streams and held polls of a node share. */
import type { Position, Topic } from '@fanfare/protocol';
import type { HttpRefusal, Requester } from '../connection/handshake.js';
import type { Toll } from '../connection/handshake-policy.js';
import type { OpenConnection } from '../connection/open-connection.js';
import type { ExchangeContext } from '../http/exchange.js';
import type { Address } from '../limits/addresses.js';
import type { Origins } from '../limits/origins.js';
import type { Relay } from '../relay/relay.js';
import type { RequestSessions } from '../session/request-sessions.js';
import type { SessionContext } from '../session/session-context.js';
import type { Registry } from '../topics/registry.js';
import type { CorkedWriter } from './corked-writer.js';
import type { PagePieces } from './page-pieces.js';

/** The list of open connections, and their limits. */
interface StreamHost {
  /** Counts one more connection of the address, or says why there cannot be one. */
  admit(requester: Requester, toll: Toll): { readonly address: Address | null } | HttpRefusal;
  /** The response now belongs to an open connection. */
  opened(connection: OpenConnection): void;
  /** The response has ended; its socket may be used for the next request. */
  closed(connection: OpenConnection, address: Address | null): void;
}

export interface StreamContext {
  readonly relay: Pick<Relay, 'hasHistory' | 'subscribe' | 'subscribeResult' | 'unsubscribe' | 'history'>;
  readonly registry: Registry;
  /** Null without authentication. */
  readonly sessions: SessionContext | null;
  /** The tokens that are known; null without authentication. */
  readonly requestSessions: Pick<RequestSessions, 'accepted' | 'remember'> | null;
  readonly host: StreamHost;
  readonly http: Pick<ExchangeContext, 'onBug'>;
  readonly counters: StreamCounters;
  /** How many there are now. */
  readonly open: { eventStreams: number; heldPolls: number };
  readonly writer: CorkedWriter;
  readonly pages: PagePieces;
  /** Longest time between two comments of an idle stream, in milliseconds. */
  readonly sseHeartbeatMs: number;
  /** A stream whose client reads nothing for this long is dropped. */
  readonly idleTimeoutSeconds: number;
  readonly maxSubscriptions: number;
  /** The name of the cookie with a token; null: cookies are not read. */
  readonly cookieName: string | null;
  /** The origins whose pages may send a cookie. Null: only those of the node itself. */
  readonly origins: Origins | null;
}

export interface StreamCounters {
  connectionsOpened: number;
  connectionsClosed: number;
  deliveries: number;
  bytesOut: number;
  streamEvents: number;
  streamPauses: number;
  streamsUnavailable: number;
  slowSubscribers: number;
  commandsNotPermitted: number;
  commandsLimited: number;
}

/**
 * Where a stream begins in one topic: after this position. Null: the client was here before, and the topic had no
 * position. `now`: the client was not here before.
 */
export type Since = Position | null | 'now';

/** The topics of a stream and where it begins in each. */
export interface StreamStart {
  readonly topics: readonly Topic[];
  /** In the order of the topics; null if it begins from now on. */
  readonly since: readonly Since[] | null;
}
