/** A condition that others wait for. */
export class Condition {
  readonly #isMet: () => boolean;
  #waiting: Array<() => void> = [];

  constructor(isMet: () => boolean) {
    this.#isMet = isMet;
  }

  /** Resolves when it is met. */
  met(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.check();
    });
  }

  /** Call this after a change that may meet it. */
  check(): void {
    if (this.#waiting.length > 0 && this.#isMet()) for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
