/** Things that are let go of together, in the reverse order of their making. `AsyncDisposableStack` comes with Node 24. */
export class Disposables implements AsyncDisposable {
  #parts: AsyncDisposable[] = [];

  /** Keeps the part, and answers it. */
  use<Part extends AsyncDisposable>(part: Part): Part {
    this.#parts.push(part);
    return part;
  }

  /** All parts, in new hands: this has none any more. */
  move(): Disposables {
    const moved = new Disposables();
    moved.#parts = this.#parts;
    this.#parts = [];
    return moved;
  }

  /** Tries all of them; throws the first error. */
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
