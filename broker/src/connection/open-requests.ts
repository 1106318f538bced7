/**
 * POST requests without an answer yet, with a deadline and a limit of our own. uWebSockets waits for some of them for ever once it has read their head, for
 * example `Content-Length: 0` in a second TCP segment, or a chunk with an extension, and closes them in silence after about twelve seconds.
 */

/** What has to be done if the answer takes too long. */
export interface OpenRequest {
  expire(): void;
}

/** Time for the whole request and its answer. Shorter than uWebSockets' own, so that the client gets an answer instead of a closed connection. */
export const requestTimeoutMs = 5_000;

/** Each holds a socket and a body of up to 4 KB. */
export const maxOpenRequests = 1_000;

export class OpenRequests {
  /** When each began, in milliseconds; the oldest comes first. */
  readonly #beganAt = new Map<OpenRequest, number>();

  get isFull(): boolean {
    return this.#beganAt.size >= maxOpenRequests;
  }

  has(request: OpenRequest): boolean {
    return this.#beganAt.has(request);
  }

  add(request: OpenRequest, nowMs: number): void {
    this.#beganAt.set(request, nowMs);
  }

  /** Answers whether it was still open. */
  delete(request: OpenRequest): boolean {
    return this.#beganAt.delete(request);
  }

  /** Expires those whose time is up. To be called about once a second. */
  look(nowMs: number): void {
    for (const [request, beganAt] of this.#beganAt) {
      if (nowMs - beganAt < requestTimeoutMs) return;
      request.expire();
    }
  }
}
