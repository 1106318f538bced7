/** The states of a client's connection, and why it is in them. */
import type { FanfareError } from './errors.js';

/** Each reason for a state, and the sentence for people where neither the node nor the network gave one. The README has the codes. */
const sentences = {
  // disconnected
  notConnected: 'The client has not connected yet: call connect().',
  closedByClient: 'close() was called.',
  drained: 'drain() was called.',
  // connecting
  connectCalled: 'The first attempt to connect is under way.',
  connectFailed: 'No WebSocket could be opened.',
  tokenFailed: 'getToken() failed.',
  connectTimeout: 'The node did not answer within connectTimeoutMs.',
  pageHidden: 'The page was left. The client connects again when the page is shown.',
  connectionLost: 'The connection ended without a close frame.',
  heartbeatTimeout: 'The node did not answer a ping within pongTimeoutMs.',
  replyTimeout: 'The node did not answer a command within timeoutMs.',
  protocolError: 'The server does not speak Fanfare.',
  draining: 'The node is shutting down.',
  slowSubscriber: 'This client read too slowly.',
  tokenExpired: 'The token has expired.',
  authenticationTimeout: 'The node got no token in time, or could not check it.',
  tooManyConnections: 'The user of this token has too many connections.',
  rateLimited: 'This client went on sending more than it may.',
  overloaded: 'The node is overloaded.',
  // either, depending on the close code or the error
  refused: 'The node refused the connection.',
  closedByNode: 'The node closed the connection.',
  badProtocol: 'The node could not read what this client sent.',
  frameTooLarge: 'A frame was longer than the node takes.',
  unauthenticated: 'The node does not accept the token, or there was none.',
  revoked: 'The connection, its token or its user was revoked.',
} as const;

export type StateCode = keyof typeof sentences;

export const stateCodes = Object.keys(sentences) as readonly StateCode[];

interface Reason {
  readonly code: StateCode;
  /** A sentence for people: what the node, the network or the platform said; if nothing did, what the code means. */
  readonly reason: string;
  /** WebSocket close code, or null where no close frame came. */
  readonly closeCode: number | null;
}

export type ConnectionState =
  /** Nothing happens until `connect()` is called. */
  | ({ readonly name: 'disconnected' } & Reason)
  /** Being opened, or waiting to be: `attempt` 0 is the first, then it counts failures in a row. */
  | ({ readonly name: 'connecting'; readonly attempt: number } & Reason)
  /**
   * `node` is the node's name, for logs. `tokenError`: the token expires soon, and there is no other yet, for this reason. That is tried
   * again; if the token does expire, a new connection is opened with another one.
   */
  | { readonly name: 'connected'; readonly node: string; readonly tokenError?: FanfareError };

/** How a connection ended. */
export interface Closure extends Reason {
  /** Connecting again would end the same way. */
  readonly isFinal: boolean;
  /** What was thrown, if that is why. */
  readonly cause: unknown;
  /** How long the server asks to wait before the next attempt, in milliseconds; 0 if it does not. */
  readonly retryAfterMs: number;
}

/** `reason`: what was said, if anything was. */
export function closure(
  code: StateCode,
  reason = '',
  closeCode: number | null = null,
  isFinal = false,
  cause?: unknown,
  retryAfterMs = 0,
): Closure {
  return { code, reason: reason || sentences[code], closeCode, isFinal, cause, retryAfterMs };
}
