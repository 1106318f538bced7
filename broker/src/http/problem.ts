/** Errors of HTTP requests: problem details (RFC 9457) with the codes of PROTOCOL.md section 6. */
import { STATUS_CODES } from 'node:http';
import {
  httpStatusOf,
  isRetryable,
  PeerError,
  type ReplyError,
  type ReplyErrorCode,
  type RequestErrorCode,
} from '@fanfare/protocol';
import type { HttpRefusal } from '../connection/handshake.js';

export type ProblemCode = ReplyErrorCode | RequestErrorCode;

interface Details {
  /** When the same request can be sent again, in milliseconds; null if the node does not know. */
  readonly retryAfterMs?: number | null;
  /** Whether subscribers may have received the publication. */
  readonly maybeDelivered?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether the answer closes the connection. */
  readonly closes?: boolean;
  /** More members of the answer. */
  readonly members?: Readonly<Record<string, unknown>>;
}

/** `Retry-After` of an answer that does not know better, in seconds. */
const defaultRetrySeconds = 1;

/** Answers a request with an error. */
export class Problem extends PeerError {
  override readonly name = 'Problem';
  readonly code: ProblemCode;
  readonly details: Details;

  constructor(code: ProblemCode, detail: string, details: Details = {}) {
    super(detail);
    this.code = code;
    this.details = details;
  }

  get status(): number {
    return httpStatusOf(this.code);
  }

  /** Whether the answer closes the connection, if the body of the request is read: the next may reach another node. */
  get closes(): boolean {
    return this.details.closes === true;
  }

  /** The members of the answer. */
  get body(): Readonly<Record<string, unknown>> {
    const { code, status, message: detail } = this;
    const { retryAfterMs, maybeDelivered = false, members } = this.details;
    return {
      type: 'about:blank',
      title: STATUS_CODES[status],
      status,
      detail,
      code,
      retryable: isRetryable(code),
      maybeDelivered,
      ...(retryAfterMs == null ? {} : { retryAfterMs }),
      ...members,
    };
  }

  /** The headers of the answer, without `Content-Type`. */
  get headers(): Readonly<Record<string, string>> {
    const { status } = this;
    const headers: Record<string, string> = { ...this.details.headers };
    if (status === 401) headers['WWW-Authenticate'] = challengeOf(this.code, this.message);
    if (status === 429 || status === 503) {
      const ms = this.details.retryAfterMs ?? defaultRetrySeconds * 1_000;
      headers['Retry-After'] ??= String(Math.max(1, Math.ceil(ms / 1_000)));
    }
    return headers;
  }
}

/** `isPublish`: whether the request may have published. `members`: more members of the answer. */
export function problemOf(
  { code, message, retryAfterMs }: ReplyError,
  isPublish: boolean,
  members: NonNullable<Details['members']> = {},
): Problem {
  const maybeDelivered = isPublish && isMaybeDelivered(code);
  return new Problem(code, message, { retryAfterMs, maybeDelivered, members });
}

/** Whether subscribers may have received a publication that failed with this code. */
export function isMaybeDelivered(code: ReplyErrorCode): boolean {
  return code === 'unconfirmed' || code === 'internal';
}

/**
 * What refuses handshakes also refuses requests. If there are too many connections, the refused one must not stay open
 * too.
 */
export function problemOfRefusal({ status, headers, sentence }: HttpRefusal): Problem {
  const code = status.startsWith('403') ? 'originNotAllowed' : status.startsWith('429') ? 'rateLimited' : 'overloaded';
  const seconds = headers['Retry-After'];
  const retryAfterMs = seconds === undefined ? null : Number(seconds) * 1_000;
  return new Problem(code, sentence, { headers, retryAfterMs, closes: code !== 'originNotAllowed' });
}

/** `WWW-Authenticate` (RFC 6750 section 3). A request without a token gets no error code. */
function challengeOf(code: ProblemCode, sentence: string): string {
  if (code === 'unauthenticated') return 'Bearer';
  return `Bearer error="invalid_token", error_description="${sentence.replace(/[^\x20-\x7e]|["\\]/g, "'")}"`;
}
