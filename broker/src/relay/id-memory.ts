/** Where messageIds were published, for a while: two tables, of which the older one is thrown away. */

export class IdMemory {
  readonly #windowMs: number;
  #recent: Map<string, number> | null = null;
  #old: Map<string, number> | null = null;
  #turnedAt = 0;

  /** An id is remembered for `windowMs` at least and twice that at most. */
  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  offsetOf(id: string): number | undefined {
    this.#turn();
    return this.#recent?.get(id) ?? this.#old?.get(id);
  }

  add(id: string, offset: number): void {
    this.#turn();
    this.#recent ??= new Map();
    this.#recent.set(id, offset);
  }

  #turn(): void {
    const now = performance.now();
    if (now - this.#turnedAt < this.#windowMs) return;
    this.#old = now - this.#turnedAt < 2 * this.#windowMs ? this.#recent : null;
    this.#recent = null;
    this.#turnedAt = now;
  }
}
