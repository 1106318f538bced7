/**
 * The rules for offsets, for one reader of one topic (PROTOCOL.md 4.4). A node follows a topic in Redis with them, and
 * a client follows it at a node.
 *
 * Publications that were delivered before are dropped. Publications behind a hole are held until the hole is filled or
 * skipped. The owner decides when to read the history, when to skip a hole, and when to reset. It also reports gaps and
 * resets.
 */
import type { Position } from './position.js';

/** Publications of one topic that follow each other: offsets `first` to `last`. */
export interface Sequence {
  readonly epoch: string;
  readonly first: number;
  readonly last: number;
}

export class Sequencer<Run extends Sequence> {
  /** Empty if no position is known. Only the sequencer sets it. */
  epoch = '';
  /** Offset of the last publication that was delivered or skipped. Only the sequencer sets it. */
  head = 0;
  readonly #maxHeld: number;
  readonly #sizeOf: (run: Run) => number;
  readonly #onRun: (run: Run, from: number) => void;
  readonly #onRepeated: ((run: Run) => void) | undefined;
  /** By first offset. */
  #held: Run[] = [];
  #heldSize = 0;

  /**
   * `maxHeld`: largest total size of the held runs. `onRun`: gets the next run; its publications before offset `from`
   * were delivered before. `onRepeated`: gets a run whose publications were all delivered before.
   */
  constructor(
    maxHeld: number,
    sizeOf: (run: Run) => number,
    onRun: (run: Run, from: number) => void,
    onRepeated?: (run: Run) => void,
  ) {
    this.#maxHeld = maxHeld;
    this.#sizeOf = sizeOf;
    this.#onRun = onRun;
    this.#onRepeated = onRepeated;
  }

  /** First offset that is held; infinite if nothing is held. */
  get firstHeld(): number {
    return this.#held[0]?.first ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Delivers the run and the runs that were held behind it. Holds the run if it is behind a hole or has another epoch.
   */
  take(run: Run): void {
    if (!this.canDeliver(run)) return this.hold(run);
    this.#deliver(run);
    this.release();
  }

  /** Whether the run has this epoch and is not behind a hole. */
  canDeliver(run: Run): boolean {
    return run.epoch === this.epoch && run.first <= this.head + 1;
  }

  hold(run: Run): void {
    this.#held.splice(this.#held.findLastIndex(({ first }) => first <= run.first) + 1, 0, run);
    this.#heldSize += this.#sizeOf(run);
    while (this.#heldSize > this.#maxHeld) this.#shift();
  }

  /** Delivers held runs up to the first hole. */
  release(): void {
    while (this.firstHeld <= this.head + 1 && this.#held[0]?.epoch === this.epoch) this.#deliver(this.#shift());
  }

  /** Drops held runs of other epochs than this one. */
  keep(epoch: string): void {
    const held = this.#held;
    this.#held = [];
    this.#heldSize = 0;
    for (const run of held) if (run.epoch === epoch) this.hold(run);
  }

  /**
   * Moves the head past a hole. Returns false if it is there already. If not, report the gap, then call
   * {@link release}.
   */
  skip(offset: number): boolean {
    if (offset <= this.head) return false;
    this.head = offset;
    return true;
  }

  /**
   * Continues after a position. Held runs of a new epoch stay. Held runs of the same epoch belong to a part that was
   * lost.
   */
  restart({ epoch, offset }: Position): void {
    this.keep(epoch === this.epoch ? '' : epoch);
    this.epoch = epoch;
    this.head = offset;
  }

  #shift(): Run {
    const run = this.#held.shift() as Run;
    this.#heldSize -= this.#sizeOf(run);
    return run;
  }

  #deliver(run: Run): void {
    const from = this.head + 1;
    if (run.last < from) return this.#onRepeated?.(run);
    this.head = run.last;
    this.#onRun(run, from);
  }
}
