/** Typed events. */

type Failed = (cause: unknown) => void;

/** Calls a listener. If it throws or rejects, `onFailure` gets the error. */
export function call<Event>(listener: (event: Event) => unknown, event: Event, onFailure: Failed): void {
  try {
    const outcome = listener(event);
    if (outcome instanceof Promise) outcome.catch(onFailure);
  } catch (cause) {
    onFailure(cause);
  }
}

export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => unknown>>();
  readonly #onFailure: (cause: unknown, name: keyof Events) => void;

  /** `onFailure` gets the error of a listener that threw or rejected. The other listeners are still called. */
  constructor(onFailure: (cause: unknown, name: keyof Events) => void) {
    this.#onFailure = onFailure;
  }

  /** Calls `listener` for each event from now on. Returns a function that removes the listener. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => unknown): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    // A function of its own, so that a listener that was added twice is called twice and removed one at a time.
    const entry = (event: Events[Name]): unknown => listener(event);
    listeners.add(entry);
    return () => listeners.delete(entry);
  }

  /** Returns false if there is no listener. */
  emit<Name extends keyof Events>(name: Name, event: Events[Name]): boolean {
    const listeners = [...(this.#listeners.get(name) ?? [])];
    for (const listener of listeners) call(listener, event as never, (cause) => this.#onFailure(cause, name));
    return listeners.length > 0;
  }
}
