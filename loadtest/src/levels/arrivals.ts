/** Whether publications come, each once and in the order of its topic. Numbers are given to the topics in turn. */
import { readSequence } from '@fanfare/kit/stamp';

export class Arrivals {
  /** Publications that were the next of their topic. */
  inOrder = 0;
  /** Publications that are repeated, out of order, or not ours. */
  wrong = 0;
  /** The number that each topic comes to next. */
  readonly #next: number[];

  constructor(topics: number) {
    this.#next = Array.from({ length: topics }, (_, topic) => topic);
  }

  /** The stamp of a publication is at `bytes[stampAt]`. */
  record(bytes: Uint8Array, stampAt: number): void {
    const sequence = readSequence(bytes, stampAt);
    const topic = sequence % this.#next.length;
    // If there is no stamp, the number is NaN and ends here too.
    if (sequence !== this.#next[topic]) {
      this.wrong++;
      return;
    }
    this.#next[topic] = sequence + this.#next.length;
    this.inOrder++;
  }

  /** What is wrong, in a few words; null if every publication arrived once and in order. */
  problem(sent: number): string | null {
    if (this.inOrder === sent && this.wrong === 0) return null;
    return `${this.inOrder} of ${sent} came in order, and ${this.wrong} out of order or twice`;
  }
}
