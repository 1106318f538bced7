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
  /** When it was added, by performance.now(). */
  beganAtMs: number;
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
  /** In the order in which they began. Without {@link #newest}. */
  readonly #open = new Set<OpenRequest>();
  /** Most requests are complete before the next one begins, and are never in the set. */
  #newest: OpenRequest | null = null;

  /** Null if there is room for a request that was added. `isService`: it has a valid API key. */
  judge(address: Address | null, isService: boolean): Problem | null {
    if (address !== null && address.openRequests > maxOpenRequestsOfAddress) return tooManyOfAddress;
    return this.#size <= maxOpenRequests + (isService ? reservedForServices : 0) ? null : tooMany;
  }

  get #size(): number {
    return this.#open.size + (this.#newest === null ? 0 : 1);
  }

  add(request: OpenRequest): void {
    if (this.#newest !== null) this.#open.add(this.#newest);
    this.#newest = request;
    request.beganAtMs = performance.now();
    if (request.address !== null) request.address.openRequests++;
  }

  /** Does nothing if it is not open. */
  delete(request: OpenRequest): void {
    if (request === this.#newest) this.#newest = null;
    else if (!this.#open.delete(request)) return;
    if (request.address !== null) request.address.openRequests--;
  }

  /** Expires the requests past their deadline. Call this about once a second, with performance.now(). */
  expire(nowMs: number): void {
    for (const request of [...this.#open, ...(this.#newest === null ? [] : [this.#newest])]) {
      if (nowMs - request.beganAtMs < requestTimeoutMs) return;
      this.delete(request);
      request.expire();
    }
  }
}
