/**
 * Requests whose body is not complete, with a deadline and limits. They need one, because uWebSockets never completes
 * some requests. Examples are `Content-Length: 0` in a second TCP segment, and a chunk with an extension. It closes
 * them without an answer after about twelve seconds.
 */
import type { Address } from '../limits/addresses.js';
import { Problem } from './problem.js';

export interface OpenRequest {
  /** The address of the client; null if it is not counted. */
  readonly address: Address | null;
  /** Called if the body takes too long. */
  expire(): void;
}

/** Time for the whole body. Shorter than that of uWebSockets, so that the client gets an answer. */
export const requestTimeoutMs = 5_000;

/** Each holds a socket and a part of a body. */
export const maxOpenRequests = 1_000;

/** More requests, for services only: other requests must not prevent them from revoking. */
const reservedForServices = 100;

/** Open requests of one address: clients that are slow on purpose must leave room for others. */
export const maxOpenRequestsOfAddress = 100;

const tooMany = new Problem('overloaded', 'Too many open requests on this node. Retry in a moment.');

const tooManyOfAddress = new Problem(
  'rateLimited',
  `Your address has reached the limit of ${maxOpenRequestsOfAddress} open requests. Retry in a moment.`,
);

export class OpenRequests {
  /** When each request began, in milliseconds; the oldest comes first. */
  readonly #beganAt = new Map<OpenRequest, number>();

  /** Null if there is room for a request that was added. `isService`: it has a valid API key. */
  judge(address: Address | null, isService: boolean): Problem | null {
    if (address !== null && address.openRequests > maxOpenRequestsOfAddress) return tooManyOfAddress;
    return this.#beganAt.size <= maxOpenRequests + (isService ? reservedForServices : 0) ? null : tooMany;
  }

  add(request: OpenRequest, nowMs: number): void {
    this.#beganAt.set(request, nowMs);
    if (request.address !== null) request.address.openRequests++;
  }

  /** Returns whether it was still open. */
  delete(request: OpenRequest): boolean {
    const wasOpen = this.#beganAt.delete(request);
    if (wasOpen && request.address !== null) request.address.openRequests--;
    return wasOpen;
  }

  /** Expires the requests past their deadline. Call this about once a second. */
  expire(nowMs: number): void {
    for (const [request, beganAt] of this.#beganAt) {
      if (nowMs - beganAt < requestTimeoutMs) return;
      request.expire();
    }
  }
}
