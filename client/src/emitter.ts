/** Typed events. */

export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();
  readonly #onFailure: (cause: unknown, name: keyof Events) => void;

  /** `onFailure` takes what a listener threw; the other listeners are called all the same. */
  constructor(onFailure: (cause: unknown, name: keyof Events) => void) {
    this.#onFailure = onFailure;
  }

  /** Calls `listener` for each event from now on. Returns the function that ends that. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    let listeners = this.#listeners.get(name);
    if (listeners === undefined) {
      listeners = new Set();
      this.#listeners.set(name, listeners);
    }
    // A function of its own, so that a listener that was added twice is called twice and removed one at a time.
    const entry = (event: Events[Name]): void => listener(event);
    listeners.add(entry);
    return () => listeners.delete(entry);
  }

  /** Answers false where nobody listens. */
  emit<Name extends keyof Events>(name: Name, event: Events[Name]): boolean {
    const listeners = this.#listeners.get(name);
    if (listeners === undefined || listeners.size === 0) return false;
    for (const listener of [...listeners]) {
      try {
        listener(event as never);
      } catch (cause) {
        this.#onFailure(cause, name);
      }
    }
    return true;
  }
}
