/** Which topics keep history (levels recoverable and durable), as far as nodes have said. */

/** Topics that are remembered. Beyond it the one that was learnt first is forgotten: to be asked again costs a round trip. */
const maxTopics = 10_000;

export class Levels {
  readonly #hasHistory = new Map<string, boolean>();

  /** Null where nobody knows yet. */
  hasHistory(topic: string): boolean | null {
    return this.#hasHistory.get(topic) ?? null;
  }

  learn(topic: string, hasHistory: boolean): void {
    this.#hasHistory.set(topic, hasHistory);
    if (this.#hasHistory.size <= maxTopics) return;
    for (const oldest of this.#hasHistory.keys()) {
      this.#hasHistory.delete(oldest);
      break;
    }
  }
}
