/** Limits concurrent tasks. Others wait for their turn, in order. */
import { Queue } from './queue.js';

export class Slots {
  #free: number;
  readonly #waiting = new Queue<() => void>();
  #isStarting = false;

  constructor(count: number) {
    this.#free = count;
  }

  /** Calls `start` once, now or when a slot is free. The task must call {@link release} once when it ends. */
  take(start: () => void): void {
    this.#waiting.push(start);
    this.#start();
  }

  release(): void {
    this.#free++;
    this.#start();
  }

  /** A loop, because a task may end at once, and thousands of nested calls would overflow the stack. */
  #start(): void {
    if (this.#isStarting) return;
    this.#isStarting = true;
    while (this.#free > 0) {
      const start = this.#waiting.shift();
      if (start === undefined) break;
      this.#free--;
      start();
    }
    this.#isStarting = false;
  }
}
