/** All errors of the client: one class per kind, each with a stable `code`. The README lists them. */
import type { ErrorReply, ReplyErrorCode } from '@fanfare/protocol';
import type { SchemaIssue } from './standard-schema.js';

/** Error codes of the client itself. The README explains them. */
export const localErrorCodes = [
  'aborted',
  'closed',
  'connectFailed',
  'connectionLost',
  'disconnected',
  'draining',
  'frameTooLarge',
  'invalidData',
  'invalidOption',
  'invalidTopic',
  'listenerFailed',
  'queueFull',
  'slowConsumer',
  'timeout',
  'tokenFailed',
  'undecodable',
  'unknownTopic',
  'unsubscribed',
] as const;

type LocalErrorCode = (typeof localErrorCodes)[number];

/** Messages of the errors that have always the same one. */
export const sentences: { readonly [Code in ErrorCode]?: string } = {
  aborted: 'The signal of publish() was aborted: see cause.',
  closed: 'The client is closed. Call connect() to use it again.',
  draining: 'The client is draining and accepts no new calls. Wait for drain(), then call connect().',
  queueFull:
    'The send queue is full. Await earlier publishes, or raise maxQueuedPublications, maxQueuedBytes or maxUnsentBytes.',
  slowConsumer: 'The loop or the schema is more than maxBufferedPublications behind. Read faster or raise it.',
  unsubscribed: 'unsubscribe() was called before the confirmation.',
};

/** Codes of {@link FanfareError}: codes of the client, and codes of a node (PROTOCOL.md section 6). */
export type ErrorCode = LocalErrorCode | ReplyErrorCode;

interface ErrorDetails {
  readonly message?: string | undefined;
  readonly cause?: unknown;
  readonly maybeDelivered?: boolean;
}

/** Base class of all errors of this client. */
export class FanfareError extends Error {
  override readonly name: string = 'FanfareError';
  /**
   * For a failed publish: true if subscribers may have received the publication anyway. If false, nobody received it,
   * and you can publish it again without a duplicate.
   */
  readonly maybeDelivered: boolean;

  constructor(
    readonly code: ErrorCode,
    { message, cause, maybeDelivered = false }: ErrorDetails = {},
  ) {
    super(message || sentences[code] || code, cause === undefined ? undefined : { cause });
    this.maybeDelivered = maybeDelivered;
  }
}

/** The connection ended: codes `connectionLost`, `disconnected`, `closed`. */
export class ConnectionError extends FanfareError {
  override readonly name = 'ConnectionError';

  constructor(
    code: 'connectionLost' | 'disconnected' | 'closed',
    /** WebSocket close code; null if there was no close frame. */
    readonly closeCode: number | null,
    details?: ErrorDetails,
  ) {
    super(code, details);
  }
}

/** Data that cannot be sent or delivered: codes `invalidData`, `undecodable`. */
export class DataError extends FanfareError {
  override readonly name = 'DataError';

  constructor(
    code: 'invalidData' | 'undecodable',
    readonly topic: string,
    /** Issues reported by the schema; empty if there is no schema, or if the data could not be encoded or decoded. */
    readonly issues: readonly SchemaIssue[],
    details?: ErrorDetails,
  ) {
    super(code, details);
  }
}

/**
 * A node answered a command with an error. `code` is listed in PROTOCOL.md section 6; newer nodes may have more codes.
 */
export class ReplyError extends FanfareError {
  override readonly name = 'ReplyError';

  constructor(
    code: ReplyErrorCode,
    message: string,
    /** True if the same command may succeed later. */
    readonly retryable: boolean,
    /** For `rateLimited`: time until the node accepts the command again, in milliseconds; null if unknown. */
    readonly retryAfterMs: number | null = null,
    // A command that can never succeed was not delivered. These three retryable codes also mean that. An unknown code
    // may mean anything.
    maybeDelivered = retryable && code !== 'unavailable' && code !== 'overloaded' && code !== 'rateLimited',
  ) {
    super(code, { message, maybeDelivered });
  }

  /** @internal */
  static of({ code, message, retryable, retryAfterMs }: Omit<ErrorReply, 'type' | 'id'>): ReplyError {
    return new ReplyError(code, message, retryable, retryAfterMs);
  }
}

/** An option or an argument cannot be used. */
export function invalidOption(message: string): FanfareError {
  return new FanfareError('invalidOption', { message });
}

/** The timeout error. `refusal` is the last failure; `trouble` is the reason why there is no connection. */
export function timedOut(
  timeoutMs: number,
  refusal: FanfareError | undefined,
  trouble: FanfareError | null,
  maybeDelivered = false,
  what = `No answer in time (${timeoutMs} ms).`,
): FanfareError {
  const why = [refusal, trouble].flatMap((error) => error ?? []);
  const message = [what, ...why.map((error) => error.message)].join(' ');
  return new FanfareError('timeout', { message, cause: why[0], maybeDelivered });
}

/** Wraps the value that a listener threw. */
export function listenerFailed(of: string, cause: unknown): FanfareError {
  return new FanfareError('listenerFailed', { message: `A listener of ${of} threw: ${messageOf(cause)}`, cause });
}

/** The thrown value as text. It may be any value. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
}
