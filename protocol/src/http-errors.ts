/**
 * The HTTP status of each error code, and the codes that only HTTP requests get. `test/spec.test.ts` compares both with
 * the table of PROTOCOL.md.
 */
import { type ReplyErrorCode, replyErrors } from './errors.js';

/** What can be wrong with an HTTP request, in addition to {@link replyErrors}. */
export const requestErrors = {
  /** The node has no such path. */
  notFound: { status: 404, retryable: false },
  /** The path exists, but not for this method. `Allow` lists its methods. */
  methodNotAllowed: { status: 405, retryable: false },
  /** The node did not receive the whole body in time. Nothing was carried out. */
  requestTimeout: { status: 408, retryable: true },
  /** The body is longer than the node accepts. The sentence names the limit. Nothing was carried out. */
  contentTooLarge: { status: 413, retryable: false },
  /** The `Content-Type` is not one that the path accepts. */
  unsupportedMediaType: { status: 415, retryable: false },
  /** The page that sent the request has an origin that is not allowed. */
  originNotAllowed: { status: 403, retryable: false },
} as const satisfies Record<string, { readonly status: number; readonly retryable: boolean }>;

export type RequestErrorCode = keyof typeof requestErrors;

const statuses: Readonly<Record<ReplyErrorCode, number>> = {
  malformed: 400,
  unknownCommand: 400,
  invalidTopic: 400,
  unauthenticated: 401,
  invalidToken: 401,
  tokenExpired: 401,
  notPermitted: 403,
  rateLimited: 429,
  alreadySubscribed: 400,
  notSubscribed: 400,
  tooManySubscriptions: 400,
  noHistory: 404,
  unavailable: 503,
  unconfirmed: 504,
  overloaded: 503,
  internal: 500,
};

/** The status of an HTTP answer with this code. */
export function httpStatusOf(code: ReplyErrorCode | RequestErrorCode): number {
  return code in requestErrors ? requestErrors[code as RequestErrorCode].status : statuses[code as ReplyErrorCode];
}

/** Whether the same request may succeed later. */
export function isRetryable(code: ReplyErrorCode | RequestErrorCode): boolean {
  return code in requestErrors
    ? requestErrors[code as RequestErrorCode].retryable
    : replyErrors[code as ReplyErrorCode].retryable;
}
