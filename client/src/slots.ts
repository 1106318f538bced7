/** Lets a number of things happen at the same time; others wait for their turn, in order. */
import { Queue } from './queue.js';

export class Slots {
  #free: number;
  readonly #waiting = new Queue<() => void>();
  #isStarting = false;

  constructor(count: number) {
    this.#free = count;
  }

  /** Calls `start` once, now or when a slot is free; what it starts must call {@link release} once when it ends. */
  take(start: () => void): void {
    this.#waiting.push(start);
    this.#start();
  }

  release(): void {
    this.#free++;
    this.#start();
  }

  /** A loop, because what is started may end at once: thousands of those would fill the stack. */
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
