/** The offsets of recent messageIds, in two tables: after each window the older one is dropped. */

export class IdMemory {
  #recent: Map<string, number> | null = null;
  #old: Map<string, number> | null = null;
  #rotatedAt = 0;

  /** An id is remembered for `windowMs` at least and twice that at most. */
  constructor(private readonly windowMs: number) {}

  offsetOf(id: string): number | undefined {
    this.#rotate();
    return this.#recent?.get(id) ?? this.#old?.get(id);
  }

  add(id: string, offset: number): void {
    this.#rotate();
    this.#recent ??= new Map();
    this.#recent.set(id, offset);
  }

  #rotate(): void {
    const now = performance.now();
    if (now - this.#rotatedAt < this.windowMs) return;
    this.#old = now - this.#rotatedAt < 2 * this.windowMs ? this.#recent : null;
    this.#recent = null;
    this.#rotatedAt = now;
  }
}
