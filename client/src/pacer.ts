/**
 * How fast commands of one kind leave: few at first, more as they are answered, and no faster than the node says once it refuses
 * some with `rateLimited` (PROTOCOL.md 8.13). A client that sent all at once would be refused too often, and closed (4006).
 *
 * The numbers are from a simulation of 1 to 20 clients of one user, at rates of 5 to 1,000 a second and round trips of 2 to 300 ms:
 * no client was closed, and what was refused was done after 1.2 times the shortest possible time on average.
 */

/** Commands that may be unanswered at first. The 20 connections of a user may all begin at once. */
const firstWindow = 16;

/** After this long without commands the node has room for a burst again. */
const restMs = 2_000;

/** For a `rateLimited` without a time: from a node that does not name one. */
const defaultRetryAfterMs = 100;

export class Pacer {
  readonly #maxWindow: number;
  #window = firstWindow;
  #unanswered = 0;
  /** When the node has room for the commands that it refused, one for each. Any command may use them. */
  #slots: number[] = [];
  /** Between commands when these are used up; 0 while nothing is refused. */
  #intervalMs = 0;
  /** Since when the interval has been right. */
  #sinceMs = 0;
  #nextMs = 0;
  /** Refusals in a row, and the slot of the first. */
  #refusals = 0;
  #firstSlot = 0;

  /** `maxWindow`: most commands that may be unanswered. */
  constructor(maxWindow: number) {
    this.#maxWindow = maxWindow;
  }

  /** How long the next command has to wait, in milliseconds: not at all if 0 or less; for an answer if infinite. */
  get delayMs(): number {
    if (this.#unanswered >= this.#window) return Number.POSITIVE_INFINITY;
    return this.#intervalMs === 0 ? 0 : this.#dueMs - performance.now();
  }

  /** Whether so few are unanswered that it is worth sending more. */
  get isHungry(): boolean {
    return this.#intervalMs > 0 || this.#unanswered <= this.#window / 2;
  }

  /** There is a new connection: how much it takes has to be learned again. */
  restart(): void {
    this.#window = firstWindow;
  }

  /** A command leaves. */
  sent(): void {
    this.#unanswered++;
    if (this.#intervalMs === 0) return;
    const [dueMs, now] = [this.#dueMs, performance.now()];
    this.#slots.shift();
    if (now - dueMs > restMs) {
      this.#intervalMs = 0;
      this.#slots = [];
      this.restart();
    } else this.#nextMs = dueMs + this.#currentMs(now);
  }

  /** So many commands were answered, and not with `rateLimited`. */
  answered(count = 1): void {
    this.#unanswered -= count;
    this.#refusals = 0;
    if (this.#intervalMs === 0) this.#window = Math.min(this.#maxWindow, this.#window + count / 2);
  }

  /** So many commands will not be answered: their connection is lost, or nobody waits any more. */
  forget(count = 1): void {
    this.#unanswered -= count;
  }

  /** A command was answered with `rateLimited`. */
  refused(retryAfterMs: number | null): void {
    this.#unanswered--;
    this.slowDown(retryAfterMs);
  }

  /** The node has refused a command that wants no answer. */
  slowDown(retryAfterMs: number | null): void {
    const delayMs = Math.max(1, retryAfterMs ?? defaultRetryAfterMs);
    const now = performance.now();
    // Timers of Node may fire a millisecond early.
    const slot = now + delayMs + 1;
    if (this.#refusals++ === 0) this.#firstSlot = slot;
    // What the node says to several in a row is the share of this client, if others of the user send as well.
    if (this.#refusals > 2 && slot > this.#firstSlot + 1) {
      this.#intervalMs = (slot - this.#firstSlot) / (this.#refusals - 1);
    } else if (this.#intervalMs === 0) this.#intervalMs = delayMs;
    else if (this.#slots.length === 0) {
      const intervalMs = this.#currentMs(now);
      this.#intervalMs = intervalMs + Math.min(intervalMs / 2, delayMs);
    }
    this.#slots.push(slot);
    this.#sinceMs = slot;
  }

  get #dueMs(): number {
    const [slot] = this.#slots;
    return slot === undefined ? this.#nextMs : Math.max(slot, this.#nextMs - this.#intervalMs / 2);
  }

  /** Shorter again the longer nothing is refused, as others may send less by now: by a tenth after 6 s, by half after 13 s. */
  #currentMs(now: number): number {
    const seconds = Math.max(0, now - this.#sinceMs) / 1_000;
    return this.#intervalMs / (1 + 0.000_46 * seconds ** 3);
  }
}
