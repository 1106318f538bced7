/**
 * One table of the errors that answer a command, and one of the codes that end a connection. `test/spec.test.ts`
 * compares them with the tables of PROTOCOL.md.
 */

/** What can be wrong with one command. The connection stays open. */
export const replyErrors = {
  /** The frame or the command cannot be read: not JSON, not the MessagePack layout, a field of the wrong type. */
  malformed: { retryable: false },
  /** Protocol version 1 has no command of this `type`. */
  unknownCommand: { retryable: false },
  /** The topic breaks the grammar. */
  invalidTopic: { retryable: false },
  /** The node requires authentication, and the client has sent no token: `connect` must be the first command. */
  unauthenticated: { retryable: false },
  /** The token cannot be accepted: its signature, issuer, audience, algorithm or form is wrong, or it was revoked. */
  invalidToken: { retryable: false },
  /** The token has expired: get a new one. */
  tokenExpired: { retryable: false },
  /** The token does not grant this on this topic. */
  notPermitted: { retryable: false },
  /**
   * The subject has sent too many commands, publications or bytes, or begun too many topics: nothing was carried out.
   */
  rateLimited: { retryable: true },
  /** The connection is subscribed to the topic already. */
  alreadySubscribed: { retryable: false },
  /** The connection is not subscribed to the topic. */
  notSubscribed: { retryable: false },
  /** The connection already has the maximum number of subscriptions. */
  tooManySubscriptions: { retryable: false },
  /**
   * The topic keeps no history (level `fast`), so nothing can be read and a repeated publication cannot be recognized.
   */
  noHistory: { retryable: false },
  /**
   * The other nodes cannot be reached, or another publication comes first (PROTOCOL.md 8.11). Nothing was delivered to
   * anyone.
   */
  unavailable: { retryable: true },
  /** The connection to Redis failed while the publication was sent. It may have been delivered or not. */
  unconfirmed: { retryable: true },
  /**
   * Too many publications wait for the link to the other nodes: nothing was delivered to anyone. Or the connection has
   * too many unread bytes to receive a history.
   */
  overloaded: { retryable: true },
  /** A bug in the node, which has logged it. */
  internal: { retryable: true },
} as const satisfies Record<string, { readonly retryable: boolean }>;

export type ReplyErrorCode = keyof typeof replyErrors;

/**
 * An error that a peer can cause at will: a frame of 64 KiB can hold 32,000 wrong commands. It captures no stack trace,
 * which would be most of its cost (3.5 of 4 µs, measured).
 */
export class PeerError extends Error {
  constructor(message: string) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** Answers one command with an error; nothing else about the connection changes. */
export class ReplyError extends PeerError {
  override readonly name = 'ReplyError';
  constructor(
    readonly code: ReplyErrorCode,
    message: string,
    /** When the same command can be sent again, in milliseconds; null if the node does not know. */
    readonly retryAfterMs: number | null = null,
  ) {
    super(message);
  }

  /** Whether the same command may succeed later. */
  get retryable(): boolean {
    return replyErrors[this.code].retryable;
  }
}

export interface CloseReason {
  /** WebSocket close code (RFC 6455 section 7.4.2, private use): 4000-4499 reconnect, 4500-4999 do not. */
  readonly code: number;
  readonly reason: string;
}

/** Codes for the reasons why a node ends a connection. */
export const closeCodes = {
  /** The node is shutting down. Reconnect: another node will answer. */
  draining: 4001,
  /** Unread bytes passed the node's limit for a connection (`maxBufferedBytes`). Reconnect, and read faster. */
  slowSubscriber: 4002,
  /**
   * The token has expired and was not refreshed, or its issuer has removed the key that signed it. Reconnect with a new
   * one.
   */
  tokenExpired: 4003,
  /** No token was accepted in time: none arrived, or the node could not check it. Reconnect. */
  authenticationTimeout: 4004,
  /** The subject of the token has too many connections. Reconnect later. */
  tooManyConnections: 4005,
  /** The connection kept exceeding its rate limit. Reconnect, and send more slowly. */
  rateLimited: 4006,
  /** The unread bytes of all connections together passed the node's limit. Reconnect, if possible to another node. */
  overloaded: 4007,
  /** Too many commands in a row could not be read. The peer does not speak our protocol: do not reconnect. */
  badProtocol: 4500,
  /** A frame was longer than the node accepts (`maxFrameBytes`). Sending it again will fail again: do not reconnect. */
  frameTooLarge: 4501,
  /**
   * The token was not accepted, or the first command was not `connect`. The same token will fail again: do not
   * reconnect.
   */
  unauthenticated: 4502,
  /** The connection, its token or its subject was revoked. Do not reconnect. */
  revoked: 4503,
} as const;

/** The text that a node sends with a close code, unless it has more to say: the name in words. */
export function closeTextOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** Why the node ends a connection. */
export const closeReasons = /* @__PURE__ */ Object.fromEntries(
  /* @__PURE__ */ Object.entries(closeCodes).map(([name, code]) => [name, { code, reason: closeTextOf(name) }]),
) as { readonly [Name in keyof typeof closeCodes]: CloseReason };

/** Whether a client should connect again after the peer closed with this code (PROTOCOL.md section 6). */
export function shouldReconnect(closeCode: number): boolean {
  return closeCode < 4500 || closeCode > 4999;
}
