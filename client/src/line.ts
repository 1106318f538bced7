/**
 * Where a reader of one topic is in its history: the algorithm of PROTOCOL.md 4.4. What arrives twice is dropped, whichever
 * connection it arrives on. What arrives behind a hole is held until the hole is filled or cannot be filled. Whatever is skipped is
 * reported once, before the publications after it.
 */
import {
  type HistoryReply,
  type Item,
  type Position,
  type Publications,
  type Sequence,
  Sequencer,
  type Subscribed,
} from '@fanfare/protocol';
import type { GapReason } from './subscription.js';

export interface LineListener {
  /** What comes next, in order. `position` is that of the first; null where the topic has no history. */
  onItems(items: readonly Item[], position: Position | null): void;
  /** Publications are missing here; it goes on after `position`. */
  onGap(reason: GapReason, position: Position): void;
  /** The history is another one; it goes on after `position`. */
  onReset(position: Position): void;
}

interface Run extends Sequence {
  readonly items: readonly Item[];
}

/**
 * How often in a row `history` may answer from before what is known here. A node that lags catches up within a few. After this many,
 * Redis has lost publications of this epoch and will use their offsets again.
 */
export const maxLaggingAnswers = 10;

export class Line {
  readonly #listener: LineListener;
  readonly #sequencer: Sequencer<Run>;
  /** The newest offset of this epoch that is known to be there. */
  #newest = 0;
  /** Epochs before this one: another connection may still push them. */
  readonly #left = new Set<string>();
  /** Answers of `history` in a row that came from before what is known. */
  #laggingAnswers = 0;

  constructor(maxHeld: number, listener: LineListener) {
    this.#listener = listener;
    this.#sequencer = new Sequencer(
      maxHeld,
      ({ items }) => items.length,
      ({ items, epoch, first }, offset) => listener.onItems(items.slice(offset - first), { epoch, offset }),
    );
  }

  /** The last position up to which all has been handed out or reported; null if none is known, or the topic has none. */
  get position(): Position | null {
    const { epoch, head: offset } = this.#sequencer;
    return epoch ? { epoch, offset } : null;
  }

  /** Whether history is to be asked: something is missing that it may have, or the line began ahead of what is known. */
  get hasHole(): boolean {
    return this.#sequencer.head !== this.#newest;
  }

  /** A connection is gone, and what it may have pushed late. */
  settle(): void {
    this.#left.clear();
  }

  clear(): void {
    this.#restart({ epoch: '', offset: 0 });
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
    if (epoch === this.#sequencer.epoch) this.#newest = Math.max(this.#newest, offset);
  }

  /** The answer to a subscribe that asked to go on from `since`. */
  onSubscribed({ position, publications }: Subscribed, since: Position | null): void {
    if (position === null) {
      this.clear();
      return this.#listener.onItems(publications, null);
    }
    // `position` is the topic's position after them.
    const start = moved(position, -publications.length);
    // It does not know what we have seen: a history that was lost in part.
    if (position.epoch === this.#sequencer.epoch && position.epoch === since?.epoch && position.offset < since.offset)
      this.reset(start);
    else this.onReset(start);
    this.know(position);
    this.#take(start.epoch, start.offset + 1, publications);
  }

  onPublications({ items, position }: Pick<Publications, 'items' | 'position'>): void {
    if (position === null) this.#listener.onItems(items, null);
    else this.#take(position.epoch, position.offset, items);
  }

  /** The node says that what lies before `position` cannot be had. */
  onGap(position: Position): void {
    this.onReset(position);
    if (position.epoch === this.#sequencer.epoch) this.#skip(position.offset, 'node');
  }

  onReset(position: Position): void {
    // The same from the other connection, or late.
    if (position.epoch === this.#sequencer.epoch || this.#left.has(position.epoch)) return;
    this.reset(position);
  }

  /** The history is another one, or has lost its newest publications. */
  reset(position: Position): void {
    const left = this.#sequencer.epoch;
    this.#restart(position);
    if (!left) return;
    this.#left.add(left);
    this.#listener.onReset(position);
  }

  /**
   * The answer to a history forward from `since`. Returns false if the node that gave it lags behind what is known here: the question
   * must be asked again after a while.
   */
  onHistory({ position, recovered, first, publications }: HistoryReply, since: Position): boolean {
    const sequencer = this.#sequencer;
    const { epoch } = since;
    // Overtaken by a new epoch.
    if (sequencer.epoch !== epoch) return true;
    this.onReset(position);
    if (position.epoch === epoch && first !== null) {
      // What is held is at hand: only what is missing before it is skipped.
      if (!recovered) this.#skip(Math.min(first, sequencer.firstHeld) - 1, 'history');
      this.#take(epoch, first, publications);
    }
    // The application may have left meanwhile.
    const isUseful = sequencer.epoch !== epoch || sequencer.head > since.offset || !this.hasHole;
    if (isUseful) {
      this.#laggingAnswers = 0;
      return true;
    }
    // The node knows of the missing publications and does not have them.
    if (position.epoch === epoch && position.offset >= Math.max(sequencer.head, this.#newest)) this.giveUp();
    else if (++this.#laggingAnswers < maxLaggingAnswers) return false;
    else this.reset(position);
    this.#laggingAnswers = 0;
    return true;
  }

  /** What is missing cannot be had. */
  giveUp(): void {
    if (!this.hasHole) return;
    this.know(this.position as Position);
    this.#skip(Math.min(this.#newest, this.#sequencer.firstHeld - 1), 'history');
  }

  #take(epoch: string, first: number, items: readonly Item[]): void {
    if (items.length === 0) return;
    this.onReset({ epoch, offset: first - 1 });
    if (epoch !== this.#sequencer.epoch) return;
    const last = first + items.length - 1;
    this.#newest = Math.max(this.#newest, last);
    this.#sequencer.take({ epoch, first, last, items });
  }

  #skip(offset: number, reason: GapReason): void {
    const sequencer = this.#sequencer;
    if (!sequencer.skip(offset)) return;
    this.#newest = Math.max(this.#newest, offset);
    this.#listener.onGap(reason, this.position as Position);
    sequencer.release();
  }

  #restart(position: Position): void {
    this.#sequencer.restart(position);
    this.#newest = position.offset;
    this.#laggingAnswers = 0;
  }
}

export function moved({ epoch, offset }: Position, by: number): Position {
  return { epoch, offset: offset + by };
}
