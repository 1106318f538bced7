/** Which topics keep history (levels recoverable and durable), learned from answers of nodes. */

/**
 * Maximum number of remembered topics. Beyond it the oldest is forgotten, which costs one round trip to learn again.
 */
const maxTopics = 10_000;

export class Levels {
  readonly #hasHistory = new Map<string, boolean>();

  /** Null if it is not known yet. */
  hasHistory(topic: string): boolean | null {
    return this.#hasHistory.get(topic) ?? null;
  }

  learn(topic: string, hasHistory: boolean): void {
    this.#hasHistory.set(topic, hasHistory);
    if (this.#hasHistory.size <= maxTopics) return;
    const [oldest] = this.#hasHistory.keys();
    this.#hasHistory.delete(oldest as string);
  }
}
