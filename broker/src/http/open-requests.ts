/**
 * Requests whose body is not complete, with a deadline and limits. They need one, because uWebSockets never completes
 * some requests. Examples are `Content-Length: 0` in a second TCP segment, and a chunk with an extension. It closes
 * them without an answer after about twelve seconds.
 */
import { Problem } from './problem.js';

/** Who sends requests: an address, or the subject of a token. */
export interface RequestOwner {
  /** Its requests whose body is not complete. */
  openRequests: number;
}

export interface OpenRequest {
  /** Whom it counts for; null if it is not counted. */
  readonly owner: RequestOwner | null;
  /** Bytes of its body that the node holds. */
  heldBytes: number;
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

/** Open requests of one address or subject: clients that are slow on purpose must leave room for others. */
export const maxOpenRequestsOfOwner = 100;

/** Bytes of all bodies that the node holds, because they are not complete, or because their token is being checked. */
export const maxHeldBytes = 67_108_864;

const tooMany = new Problem('overloaded', 'Too many open requests on this node. Retry in a moment.');

const tooManyOfOwner = new Problem(
  'rateLimited',
  `Your address or user has reached the limit of ${maxOpenRequestsOfOwner} open requests. Retry in a moment.`,
);

export class OpenRequests {
  /** In the order in which they began. Without {@link #newest}. */
  readonly #open = new Set<OpenRequest>();
  /** Most requests are complete before the next one begins, and are never in the set. */
  #newest: OpenRequest | null = null;
  #heldBytes = 0;

  /** Null if there is room for a request that was added. `isService`: it has a valid API key. */
  judge({ owner }: OpenRequest, isService: boolean): Problem | null {
    if (owner !== null && owner.openRequests > maxOpenRequestsOfOwner) return tooManyOfOwner;
    const reserved = isService ? reservedForServices : 0;
    return this.#size <= maxOpenRequests + reserved && this.#heldBytes <= maxHeldBytes ? null : tooMany;
  }

  get #size(): number {
    return this.#open.size + (this.#newest === null ? 0 : 1);
  }

  add(request: OpenRequest): void {
    if (this.#newest !== null) this.#open.add(this.#newest);
    this.#newest = request;
    request.beganAtMs = performance.now();
    if (request.owner !== null) request.owner.openRequests++;
  }

  /** The node keeps more bytes of its body, until {@link release}. */
  hold(request: OpenRequest, bytes: number): void {
    request.heldBytes += bytes;
    this.#heldBytes += bytes;
  }

  release(request: OpenRequest): void {
    this.#heldBytes -= request.heldBytes;
    request.heldBytes = 0;
  }

  /** Does nothing if it is not open. */
  delete(request: OpenRequest): void {
    if (request === this.#newest) this.#newest = null;
    else if (!this.#open.delete(request)) return;
    if (request.owner !== null) request.owner.openRequests--;
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
