/** Writes to responses, in one system call for each chunk. One object for all: a closure for each write is garbage. */
import type { StreamResponse } from './stream-response.js';

export class CorkedWriter {
  #response: StreamResponse | null = null;
  #chunk: string | Uint8Array = '';
  #fits = true;

  /** Returns false if not everything fit into the kernel. */
  write(response: StreamResponse, chunk: string | Uint8Array): boolean {
    this.#response = response;
    this.#chunk = chunk;
    response.cork(this.#writeNow);
    return this.#fits;
  }

  readonly #writeNow = (): void => {
    this.#fits = (this.#response as StreamResponse).write(this.#chunk);
  };
}
