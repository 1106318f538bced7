/** The states of a client's connection, and why it is in them. */
import type { FanfareError } from './errors.js';

/** Each reason for a state. The README says what they mean. */
export const stateCodes = [
  // disconnected
  'notConnected',
  'closedByClient',
  'drained',
  // connecting
  'connectCalled',
  'connectFailed',
  'tokenFailed',
  'connectTimeout',
  'pageHidden',
  'connectionLost',
  'heartbeatTimeout',
  'replyTimeout',
  'protocolError',
  'draining',
  'slowSubscriber',
  'tokenExpired',
  'authenticationTimeout',
  'tooManyConnections',
  'rateLimited',
  'overloaded',
  // either, depending on the close code or the error
  'refused',
  'closedByNode',
  'badProtocol',
  'frameTooLarge',
  'unauthenticated',
  'revoked',
] as const;

export type StateCode = (typeof stateCodes)[number];

interface Reason {
  readonly code: StateCode;
  /** For people: what the node, the network or the platform said; where nobody did, the code. */
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
}

export function closure(
  code: StateCode,
  reason = '',
  closeCode: number | null = null,
  isFinal = false,
  cause?: unknown,
): Closure {
  return { code, reason: reason || code, closeCode, isFinal, cause };
}
