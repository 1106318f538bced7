/** Addresses, responses and errors of a node's HTTP API. */
import { messageOf } from '../errors.js';

/** Why a node refused a request: the members of `application/problem+json` that a client uses. */
export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  /** When the same request can be sent again, in milliseconds; null if the node does not know. */
  readonly retryAfterMs: number | null;
  /** The topic that it is about; null if it is about the request. */
  readonly topic: string | null;
}

/** The address of the API next to a WebSocket address: `ws://host/ws` becomes `http://host/v1/`. */
export function apiOf(url: string): string {
  const api = new URL('v1/', url.replace(/^ws/i, 'http'));
  // fetch() refuses them.
  api.username = '';
  api.password = '';
  return api.href;
}

/** Headers of each request. `Fanfare-Client`: this client reads errors as responses, which an EventSource cannot. */
export function headersOf(token: string | null): Record<string, string> {
  return { 'Fanfare-Client': 'typescript', ...(token !== null && { Authorization: `Bearer ${token}` }) };
}

/** Null if the response is not a refusal of a node. */
export async function problemIn(response: Response): Promise<Problem | null> {
  if (!/^application\/problem\+json\b/.test(response.headers.get('Content-Type') ?? '')) return null;
  const { code, detail, retryable, retryAfterMs, topic } = (await response.json()) as Record<string, unknown>;
  if (typeof code !== 'string') return null;
  // Whole seconds, and so less exact.
  const seconds = response.headers.get('Retry-After') ?? '';
  const afterMs = /^\d+$/.test(seconds) ? Number(seconds) * 1_000 : null;
  return {
    code,
    message: String(detail),
    retryable: retryable === true,
    retryAfterMs: typeof retryAfterMs === 'number' ? retryAfterMs : afterMs,
    topic: typeof topic === 'string' ? topic : null,
  };
}

/** Whether a node refuses the token, and so everything that the client asks for. */
export function isAboutToken(code: string): boolean {
  return code === 'unauthenticated' || code === 'invalidToken' || code === 'tokenExpired';
}

/** A sentence about a response that is not from a node. */
export function foreign({ status }: Response): string {
  return `HTTP ${status}, but not from a Fanfare node: check that the proxy also forwards /v1`;
}

/** The reason of a failed fetch(); empty in browsers, which give none. */
export function reasonOf(error: unknown): string {
  const { cause } = error as Error;
  if (cause instanceof Error) return messageOf(cause);
  return error instanceof TypeError ? '' : messageOf(error);
}
