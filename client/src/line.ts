/**
 * Where a reader of one topic stands in its history: the algorithm of PROTOCOL.md 4.4. What arrives twice is dropped, whichever
 * connection it arrives on. What arrives behind a hole is held until the hole is filled or cannot be filled. Whatever is skipped is
 * reported once, before what comes after it.
 */
import type { HistoryReply, Item, Position, Publications, Subscribed } from '@fanfare/protocol';
import type { GapReason } from './subscription.js';

export interface LineListener {
  /** What comes next, in order. `position` is that of the first; null where the topic has no history. */
  onItems(items: readonly Item[], position: Position | null): void;
  /** Publications are missing here; it goes on after `position`. */
  onGap(reason: GapReason, position: Position): void;
  /** The history is another one; it goes on after `position`. */
  onReset(position: Position): void;
}

type Run = { readonly items: readonly Item[]; readonly position: Position };

/**
 * How often in a row `history` may answer from before what is known here. A node that lags catches up within a few. After this many,
 * Redis has lost publications of this epoch and will use their offsets again.
 */
export const maxLaggingAnswers = 10;

export class Line {
  readonly #maxHeld: number;
  readonly #listener: LineListener;
  #at: Position | null = null;
  /** The newest offset of this epoch that is known to be there. */
  #newest = 0;
  /** Epochs before this one: another connection may still push them. */
  readonly #left = new Set<string>();
  /** Answers of `history` in a row that came from before what is known. */
  #laggingAnswers = 0;
  /** What comes behind the hole, by offset. */
  #held: Run[] = [];
  #heldItems = 0;

  constructor(maxHeld: number, listener: LineListener) {
    this.#maxHeld = maxHeld;
    this.#listener = listener;
  }

  /** The last position up to which all has been handed out or told; null where none is known, or the topic has none. */
  get position(): Position | null {
    return this.#at;
  }

  /** Whether history is to be asked: something is missing that it may have, or the line began ahead of what is known. */
  get hasHole(): boolean {
    return this.#at !== null && this.#at.offset !== this.#newest;
  }

  /** A connection is gone, and what it may have pushed late. */
  settle(): void {
    this.#left.clear();
  }

  clear(): void {
    this.#restart(null);
    this.#left.clear();
  }

  /**
   * Begins after `start`, which the application knows, in a topic that has been at `known`. If `start` is ahead of that, history must
   * confirm it: the node may lag, or the newest publications are lost.
   */
  begin(start: Position, known: Position): void {
    this.#restart(start);
    if (start.epoch === known.epoch) this.#newest = known.offset;
    else this.reset(known);
  }

  /** Another line of the topic has passed `position`. */
  know({ epoch, offset }: Position): void {
    if (epoch === this.#at?.epoch) this.#newest = Math.max(this.#newest, offset);
  }

  /** The answer to a subscribe that asked to go on from `since`. */
  onSubscribed({ position, publications }: Subscribed, since: Position | null): void {
    if (position === null) {
      this.clear();
      return this.#listener.onItems(publications, null);
    }
    // `position` is where the topic stands after them.
    const start = moved(position, -publications.length);
    if (this.#at === null) this.#restart(start);
    else if (position.epoch !== this.#at.epoch) this.onReset(start);
    // It does not know what we have seen: a history that was lost in part.
    else if (since?.epoch === position.epoch && position.offset < since.offset) this.reset(start);
    if (position.epoch !== this.#at?.epoch) return;
    this.#newest = Math.max(this.#newest, position.offset);
    this.#take(publications, moved(start, 1));
  }

  onPublications({ items, position }: Pick<Publications, 'items' | 'position'>): void {
    if (position === null) this.#listener.onItems(items, null);
    else this.#take(items, position);
  }

  /** The node says that what lies before `position` cannot be had. */
  onGap(position: Position): void {
    if (this.#at === null) this.#restart(position);
    else if (position.epoch !== this.#at.epoch) this.onReset(position);
    else this.#skip(position, 'node');
  }

  onReset(position: Position): void {
    // The same from the other connection, or late.
    if (position.epoch === this.#at?.epoch || this.#left.has(position.epoch)) return;
    this.reset(position);
  }

  /** The history is another one, or has lost its newest publications. */
  reset(position: Position): void {
    const left = this.#at?.epoch;
    this.#restart(position);
    if (left === undefined) return;
    this.#left.add(left);
    this.#listener.onReset(position);
  }

  /**
   * The answer to a history forward from `since`. Returns false if the node that gave it lags behind what is known here: the question
   * must be asked again after a while.
   */
  onHistory({ position, recovered, first, publications }: HistoryReply, since: Position): boolean {
    const { epoch } = since;
    // Overtaken by a new epoch.
    if (this.#at?.epoch !== epoch) return true;
    if (position.epoch === epoch && first !== null) {
      // What is held is at hand: only what is missing before it is skipped.
      if (!recovered) this.#skip({ epoch, offset: Math.min(first, this.#firstHeld ?? first) - 1 }, 'history');
      this.#take(publications, { epoch, offset: first });
    } else if (position.epoch !== epoch) {
      this.onReset(position);
    }
    // Gone: the application has left on hearing of it.
    if (this.#at?.epoch !== epoch || this.#at.offset > since.offset || !this.hasHole) {
      this.#laggingAnswers = 0;
      return true;
    }
    if (position.epoch === epoch && position.offset >= Math.max(this.#at.offset, this.#newest)) {
      this.#laggingAnswers = 0;
      this.giveUp();
      return true;
    }
    this.#laggingAnswers++;
    if (this.#laggingAnswers < maxLaggingAnswers) return false;
    this.reset(position);
    return true;
  }

  /** What is missing cannot be had. */
  giveUp(): void {
    if (this.#at === null || !this.hasHole) return;
    this.know(this.#at);
    const first = this.#firstHeld;
    const offset = first === null ? this.#newest : first - 1;
    this.#skip({ epoch: this.#at.epoch, offset }, 'history');
  }

  /** Offset of the first publication that is held; null if none is. */
  get #firstHeld(): number | null {
    return this.#held[0]?.position.offset ?? null;
  }

  #take(items: readonly Item[], position: Position): void {
    if (items.length === 0) return;
    const before = moved(position, -1);
    if (this.#at === null) this.#restart(before);
    else if (position.epoch !== this.#at.epoch) this.onReset(before);
    if (position.epoch !== this.#at?.epoch) return;
    this.#newest = Math.max(this.#newest, before.offset + items.length);
    if (before.offset > this.#at.offset) return this.#hold({ items, position });
    this.#handOut({ items, position });
    this.#release();
  }

  /** The run begins at or before what comes next: all of it, or its tail, or nothing is new. */
  #handOut({ items, position }: Run): void {
    if (this.#at === null) return;
    const seen = this.#at.offset + 1 - position.offset;
    if (seen >= items.length) return;
    this.#at = moved(position, items.length - 1);
    this.#listener.onItems(seen === 0 ? items : items.slice(seen), moved(position, seen));
  }

  #hold(run: Run): void {
    const count = run.items.length;
    // History has it too.
    if (this.#heldItems + count > this.#maxHeld) this.#drop();
    if (count > this.#maxHeld) return;
    this.#heldItems += count;
    let place = this.#held.length;
    while (place > 0 && (this.#held[place - 1] as Run).position.offset > run.position.offset) place--;
    this.#held.splice(place, 0, run);
  }

  #release(): void {
    for (;;) {
      const [first] = this.#held;
      if (first === undefined || this.#at === null || first.position.offset > this.#at.offset + 1) return;
      this.#held.shift();
      this.#heldItems -= first.items.length;
      this.#handOut(first);
    }
  }

  #drop(): void {
    this.#held = [];
    this.#heldItems = 0;
  }

  #skip(to: Position, reason: GapReason): void {
    if (this.#at !== null && to.offset <= this.#at.offset) return;
    this.#at = to;
    this.#newest = Math.max(this.#newest, to.offset);
    this.#listener.onGap(reason, to);
    this.#release();
  }

  #restart(position: Position | null): void {
    this.#at = position;
    this.#newest = position?.offset ?? 0;
    this.#laggingAnswers = 0;
    this.#drop();
  }
}

export function moved({ epoch, offset }: Position, by: number): Position {
  return { epoch, offset: offset + by };
}
