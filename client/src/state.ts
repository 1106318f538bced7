/** The states of a client's connection, and the reason for each. */
import type { FanfareError } from './errors.js';

/**
 * Each state code with its default sentence, used if neither the node nor the network gave a reason. The README lists
 * the codes.
 */
const sentences = {
  // disconnected
  notConnected: 'The client is not connected. Call connect().',
  closedByClient: 'close() was called.',
  drained: 'drain() was called.',
  // connecting
  connectCalled: 'The client is connecting for the first time.',
  connectFailed: 'No connection to the broker.',
  tokenFailed: 'getToken() failed.',
  connectTimeout: 'No answer in time.',
  pageHidden: 'The page is hidden. The client reconnects when it is shown.',
  connectionLost: 'The connection ended without a close frame.',
  heartbeatTimeout: 'The node did not answer a ping within pongTimeoutMs.',
  replyTimeout: 'The node did not answer a command within timeoutMs.',
  protocolError: 'The server does not speak Fanfare.',
  draining: 'The node is shutting down.',
  slowSubscriber: 'This client read too slowly.',
  tokenExpired: 'The token has expired.',
  authenticationTimeout: 'The node got no token in time or could not verify it.',
  tooManyConnections: 'The user has too many connections.',
  rateLimited: 'This client kept exceeding its rate limit.',
  overloaded: 'The node is overloaded.',
  // either, depending on the close code or the error
  refused: 'The node refused the connection.',
  closedByNode: 'The node closed the connection.',
  badProtocol: 'The node could not read a frame of this client.',
  frameTooLarge: 'A frame exceeded the size limit of the node.',
  unauthenticated: 'The node rejected the token, or there was none.',
  revoked: 'The connection, its token or its user was revoked.',
} as const;

/** Reasons for a state of the connection. */
export type StateCode = keyof typeof sentences;

export const stateCodes = /* @__PURE__ */ Object.keys(sentences) as readonly StateCode[];

interface Reason {
  readonly code: StateCode;
  /**
   * A sentence to show or log: the reason given by the node, the network or the platform, otherwise the meaning of the
   * code.
   */
  readonly reason: string;
  /** WebSocket close code; null if there was no close frame. */
  readonly closeCode: number | null;
}

/** State of a client's connection. */
export type ConnectionState =
  /** Not connected. Call `connect()` to connect again. */
  | ({ readonly name: 'disconnected' } & Reason)
  /** Connecting, or waiting before the next attempt. `attempt` is the number of failures in a row, 0 at first. */
  | ({ readonly name: 'connecting'; readonly attempt: number } & Reason)
  /**
   * `node` is the name of the node, for logs. If `tokenError` is set, the token expires soon and the client could not
   * replace it yet. The client retries. If the token expires first, the client reconnects with a new one.
   */
  | { readonly name: 'connected'; readonly node: string; readonly tokenError?: FanfareError };

/** How a connection ended. */
export interface Closure extends Reason {
  /** True if a reconnect would fail in the same way. */
  readonly isFinal: boolean;
  /** The error that was thrown, if there is one. */
  readonly cause: unknown;
  /** Time that the server asks to wait before the next attempt, in milliseconds; 0 if it does not ask. */
  readonly retryAfterMs: number;
}

/** `reason` is the reason given by the other side; if empty, the default sentence of the code is used. */
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
