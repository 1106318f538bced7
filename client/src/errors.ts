/** Every error of this client: one class per kind, each with a stable `code`. The README has the same tables. */
import type { ErrorReply, ReplyErrorCode } from '@fanfare/protocol';
import type { SchemaIssue } from './standard-schema.js';

/** Codes that this client gives itself, and the sentence of an error that has no better one. The README has the codes. */
const sentences = {
  aborted: 'The signal passed to publish() was aborted: see cause for the reason.',
  closed: 'The client is closed. Call connect() to use it again.',
  connectFailed: 'No connection to the broker. The client keeps trying.',
  connectionLost: 'The connection broke before the node answered. Check maybeDelivered before you publish again.',
  disconnected: 'The node closed the connection and the client will not reconnect. Fix the cause and call connect().',
  draining: 'The client is draining and accepts no new calls. Wait for drain(), then call connect().',
  frameTooLarge: 'The publication exceeds the maximum frame size of the node. Send less data.',
  invalidData: 'The data cannot be encoded or does not match its schema. Correct the data.',
  invalidOption: 'An option is invalid. Correct it.',
  invalidTopic: 'The topic name is invalid. Use segments of A-Z a-z 0-9 _ - joined by ".".',
  listenerFailed: 'A listener threw: see cause.',
  queueFull:
    'The send queue is full. Await earlier publishes, or raise maxQueuedPublications, maxQueuedBytes or maxUnsentBytes.',
  slowConsumer: 'The loop or the schema is more than maxBufferedPublications behind. Read faster or raise this limit.',
  timeout: 'The node did not answer in time.',
  tokenFailed: 'getToken() failed: see cause.',
  undecodable: 'A publication cannot be represented in the encoding of this client. Use MessagePack to receive it.',
  unknownTopic: 'No schema matches the topic. Add one to schemas.',
  unsubscribed: 'unsubscribe() was called before the node confirmed the subscription.',
} as const;

export type LocalErrorCode = keyof typeof sentences;

export const localErrorCodes = Object.keys(sentences) as readonly LocalErrorCode[];

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
    super(
      message || (sentences as { readonly [code: string]: string })[code] || code,
      cause === undefined ? undefined : { cause },
    );
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

/** `drain()` has given up. `trouble`: why there is no connection. */
export function drainedLate(timeoutMs: number, trouble: FanfareError | null): FanfareError {
  const message = `drain() took longer than drainTimeoutMs (${timeoutMs} ms). Everything that was still waiting is dropped.`;
  return new FanfareError('timeout', {
    message: trouble ? `${message} ${trouble.message}` : message,
    cause: trouble ?? undefined,
  });
}

/** What a listener threw; of whatever kind that is. */
export function listenerFailed(of: string, cause: unknown): FanfareError {
  return new FanfareError('listenerFailed', { message: `A listener of ${of} threw: ${messageOf(cause)}`, cause });
}

/** What was thrown, as text: anything can be. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
}
