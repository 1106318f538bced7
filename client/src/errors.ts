/** Every error of this client: one class per kind, told apart by a stable `code`. The README has the same tables. */
import type { ErrorReply, ReplyErrorCode } from '@fanfare/protocol';
import type { SchemaIssue } from './standard-schema.js';

/** Codes that this client gives itself. The README says what they mean; an error without a better message carries its code. */
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

export type LocalErrorCode = (typeof localErrorCodes)[number];

/** Codes of {@link FanfareError}: those of this client, and those of a node (PROTOCOL.md section 6). */
export type ErrorCode = LocalErrorCode | ReplyErrorCode;

export interface ErrorDetails {
  readonly message?: string | undefined;
  readonly cause?: unknown;
  readonly maybeDelivered?: boolean;
}

/** What all errors of this client are. */
export class FanfareError extends Error {
  override readonly name: string = 'FanfareError';
  /**
   * Of a failed publish: whether subscribers may have got the publication nevertheless. False means that nobody got it
   * and that it can be published again without being doubled.
   */
  readonly maybeDelivered: boolean;

  constructor(
    readonly code: ErrorCode,
    { message, cause, maybeDelivered = false }: ErrorDetails = {},
  ) {
    super(message || code, cause === undefined ? undefined : { cause });
    this.maybeDelivered = maybeDelivered;
  }
}

/** There is no connection any more: codes `connectionLost`, `disconnected`, `closed`. */
export class ConnectionError extends FanfareError {
  override readonly name = 'ConnectionError';

  constructor(
    code: 'connectionLost' | 'disconnected' | 'closed',
    /** WebSocket close code, or null where no close frame came. */
    readonly closeCode: number | null,
    details?: ErrorDetails,
  ) {
    super(code, details);
  }
}

/** Data that cannot be sent or handed out: codes `invalidData`, `undecodable`. */
export class DataError extends FanfareError {
  override readonly name = 'DataError';

  constructor(
    code: 'invalidData' | 'undecodable',
    readonly topic: string,
    /** What the schema found; empty where there is none or the data could not be encoded or decoded at all. */
    readonly issues: readonly SchemaIssue[],
    details?: ErrorDetails,
  ) {
    super(code, details);
  }
}

/** A node answered a command with an error. `code` is one of PROTOCOL.md section 6, or one that a newer node knows. */
export class ReplyError extends FanfareError {
  override readonly name = 'ReplyError';

  constructor(
    code: ReplyErrorCode,
    message: string,
    /** Whether the same command may succeed later. */
    readonly retryable: boolean,
    /** Of `rateLimited`: when the node has room for the command again, in milliseconds; null if it does not say. */
    readonly retryAfterMs: number | null = null,
    // What can never succeed was not delivered either. Of the rest, three codes say so; one that is unknown here may mean anything.
    maybeDelivered = retryable && code !== 'unavailable' && code !== 'overloaded' && code !== 'rateLimited',
  ) {
    super(code, { message, maybeDelivered });
  }

  /** @internal */
  static of({ code, message, retryable, retryAfterMs }: Omit<ErrorReply, 'type' | 'id'>): ReplyError {
    return new ReplyError(code, message, retryable, retryAfterMs);
  }
}

/** Nothing came of it in time. `refusal`: how the last try failed; `trouble`: why there is no connection. */
export function timedOut(
  timeoutMs: number,
  refusal: FanfareError | undefined,
  trouble: FanfareError | null,
  maybeDelivered = false,
): FanfareError {
  const cause = refusal ?? trouble ?? undefined;
  const why = [refusal, trouble].flatMap((error) => error?.message ?? []);
  const message = [`No answer in time (${timeoutMs} ms).`, ...why].join(' ');
  return new FanfareError('timeout', { message, cause, maybeDelivered });
}

/** What a listener threw; of whatever kind that is. */
export function listenerFailed(of: string, cause: unknown): FanfareError {
  const said = cause instanceof Error ? `: ${cause.message}` : '';
  return new FanfareError('listenerFailed', { message: `A listener of ${of} threw${said}`, cause });
}
