/** Disposes of several resources together, in reverse order of creation. `AsyncDisposableStack` comes with Node 24. */
export class Disposables implements AsyncDisposable {
  #parts: AsyncDisposable[] = [];

  /** Adds a part, and returns it. */
  use<Part extends AsyncDisposable>(part: Part): Part {
    this.#parts.push(part);
    return part;
  }

  /** Moves all parts to a new object. This object is then empty. */
  move(): Disposables {
    const moved = new Disposables();
    moved.#parts = this.#parts;
    this.#parts = [];
    return moved;
  }

  /** Disposes of all parts, and throws the first error. */
  async [Symbol.asyncDispose](): Promise<void> {
    const errors: unknown[] = [];
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) {
      try {
        await part[Symbol.asyncDispose]();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
