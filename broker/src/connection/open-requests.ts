/**
 * POST requests without an answer yet, with a deadline and a limit of our own. uWebSockets waits for some of them for ever once it has read their head, for
 * example `Content-Length: 0` in a second TCP segment, or a chunk with an extension, and closes them in silence after about twelve seconds.
 */
import type { Address } from '../limits/addresses.js';
import type { Refused } from './upgrade.js';

export interface OpenRequest {
  /** Where it comes from; null if requests from there are not counted. */
  readonly address: Address | null;
  /** Called if the answer takes too long. */
  expire(): void;
}

/** Time for the whole request and its answer. Shorter than uWebSockets' own, so that the client gets an answer instead of a closed connection. */
export const requestTimeoutMs = 5_000;

/** Each holds a socket and a body of up to 4 KB. */
export const maxOpenRequests = 1_000;

/** Besides those: what others leave open must not keep services from revoking. */
const reservedForServices = 100;

/** Of one address: clients that are slow on purpose leave room for others, as with handshakes. */
export const maxOpenRequestsOfAddress = 100;

const soon = { 'Retry-After': '1' };

const tooMany: Refused = {
  status: '503 Service Unavailable',
  headers: soon,
  sentence: 'Too many open requests on this node. Retry in a moment.',
};

const tooManyOfAddress: Refused = {
  status: '429 Too Many Requests',
  headers: soon,
  sentence: `Your address has reached the limit of ${maxOpenRequestsOfAddress} open requests. Retry in a moment.`,
};

export class OpenRequests {
  /** When each began, in milliseconds; the oldest comes first. */
  readonly #beganAt = new Map<OpenRequest, number>();

  /** Whether there is room for one more from this address; null, or why not. `isService`: it shows a good API key. */
  judge(address: Address | null, isService: boolean): Refused | null {
    if (address !== null && address.openRequests >= maxOpenRequestsOfAddress) return tooManyOfAddress;
    return this.#beganAt.size < maxOpenRequests + (isService ? reservedForServices : 0) ? null : tooMany;
  }

  has(request: OpenRequest): boolean {
    return this.#beganAt.has(request);
  }

  add(request: OpenRequest, nowMs: number): void {
    this.#beganAt.set(request, nowMs);
    if (request.address !== null) request.address.openRequests++;
  }

  /** Answers whether it was still open. */
  delete(request: OpenRequest): boolean {
    const wasOpen = this.#beganAt.delete(request);
    if (wasOpen && request.address !== null) request.address.openRequests--;
    return wasOpen;
  }

  /** Expires those whose time is up. To be called about once a second. */
  look(nowMs: number): void {
    for (const [request, beganAt] of this.#beganAt) {
      if (nowMs - beganAt < requestTimeoutMs) return;
      request.expire();
    }
  }
}
