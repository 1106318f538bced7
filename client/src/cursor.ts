/**
 * The place of a reader in the history of one topic: the algorithm of PROTOCOL.md 4.4. Publications that arrive twice
 * are dropped, on whichever connection. Publications behind a hole are held until the hole is filled or cannot be
 * filled. A gap is reported once, before the publications after it.
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

export interface CursorListener {
  /** The next publications, in order. `position`: of the first one; null if the topic keeps no history. */
  onItems(items: readonly Item[], position: Position | null): void;
  /** Publications are missing here. Delivery continues after `position`. */
  onGap(reason: GapReason, position: Position): void;
  /** The topic has another history. Delivery continues after `position`. */
  onReset(position: Position): void;
}

interface Run extends Sequence {
  readonly items: readonly Item[];
}

/**
 * How often in a row `history` may answer with a position before the known one. A node that lags catches up within a
 * few answers. After this many, Redis has lost publications of this epoch and will use their offsets again.
 */
export const maxLaggingAnswers = 10;

export class Cursor extends Sequencer<Run> {
  readonly #listener: CursorListener;
  /** The newest known offset of this epoch. */
  #newest = 0;
  /** Epochs before this one: another connection may still push them. */
  readonly #left = new Set<string>();
  /** Answers of `history` in a row with a position before the known one. */
  #laggingAnswers = 0;

  constructor(maxHeld: number, listener: CursorListener) {
    super(
      maxHeld,
      ({ items }) => items.length,
      ({ items, epoch, first }, offset) => listener.onItems(items.slice(offset - first), { epoch, offset }),
    );
    this.#listener = listener;
  }

  /**
   * Everything up to here was delivered or reported as missing. Null if no position is known, or the topic keeps no
   * history.
   */
  get position(): Position | null {
    const { epoch, head: offset } = this;
    return epoch ? { epoch, offset } : null;
  }

  /** True if the history must be read: publications are missing, or the start position is ahead of the known one. */
  get hasHole(): boolean {
    return this.head !== this.#newest;
  }

  /** A connection was lost: it can no longer push old epochs. */
  settle(): void {
    this.#left.clear();
  }

  clear(): void {
    this.restart({ epoch: '', offset: 0 });
    this.#left.clear();
  }

  /**
   * Begins after `start`, a position from the application. `known` is the topic's position as far as this client knows.
   * If `start` is ahead of it, the history must confirm it: the node may lag, or the newest publications are lost.
   */
  begin(start: Position, known: Position): void {
    this.restart(start);
    if (start.epoch === known.epoch) this.#newest = known.offset;
    else this.reset(known);
  }

  /** Another cursor of the topic has passed `position`. */
  know({ epoch, offset }: Position): void {
    if (epoch === this.epoch) this.#newest = Math.max(this.#newest, offset);
  }

  /** The answer to a subscribe command with `since`. */
  onSubscribed({ position, publications }: Subscribed, since: Position | null): void {
    if (position === null) {
      this.clear();
      return this.#listener.onItems(publications, null);
    }
    // `position` is the topic's position after them.
    const start = moved(position, -publications.length);
    // The node does not know publications that this client has seen: the history was lost in part.
    if (position.epoch === this.epoch && position.epoch === since?.epoch && position.offset < since.offset)
      this.reset(start);
    else this.onReset(start);
    this.know(position);
    this.#accept(start.epoch, start.offset + 1, publications);
  }

  onPublications({ items, position }: Pick<Publications, 'items' | 'position'>): void {
    if (position === null) this.#listener.onItems(items, null);
    else this.#accept(position.epoch, position.offset, items);
  }

  /** The node reports that the publications up to `position` are lost. */
  onGap(position: Position): void {
    this.onReset(position);
    if (position.epoch === this.epoch) this.#pass(position.offset, 'node');
  }

  onReset(position: Position): void {
    // The same reset from the other connection, or a late one.
    if (position.epoch === this.epoch || this.#left.has(position.epoch)) return;
    this.reset(position);
  }

  /** The topic has another history, or it has lost its newest publications. */
  reset(position: Position): void {
    const left = this.epoch;
    this.restart(position);
    if (!left) return;
    this.#left.add(left);
    this.#listener.onReset(position);
  }

  /**
   * The answer to a history command forward from `since`. Returns false if the node lags behind the known position: ask
   * again after a delay.
   */
  onHistory({ position, recovered, first, publications }: HistoryReply, since: Position): boolean {
    const { epoch } = since;
    // A new epoch began meanwhile.
    if (this.epoch !== epoch) return true;
    this.onReset(position);
    if (position.epoch === epoch && first !== null) {
      // Do not skip what is held.
      if (!recovered) this.#pass(Math.min(first, this.firstHeld) - 1, 'history');
      this.#accept(epoch, first, publications);
    }
    // The application may have left meanwhile.
    const isUseful = this.epoch !== epoch || this.head > since.offset || !this.hasHole;
    if (isUseful) {
      this.#laggingAnswers = 0;
      return true;
    }
    // The node knows of the missing publications and does not have them.
    if (position.epoch === epoch && position.offset >= Math.max(this.head, this.#newest)) this.giveUp();
    else if (++this.#laggingAnswers < maxLaggingAnswers) return false;
    else this.reset(position);
    this.#laggingAnswers = 0;
    return true;
  }

  /** The missing publications cannot be read. */
  giveUp(): void {
    if (!this.hasHole) return;
    this.know(this.position as Position);
    this.#pass(Math.min(this.#newest, this.firstHeld - 1), 'history');
  }

  #accept(epoch: string, first: number, items: readonly Item[]): void {
    if (items.length === 0) return;
    this.onReset({ epoch, offset: first - 1 });
    if (epoch !== this.epoch) return;
    const last = first + items.length - 1;
    this.#newest = Math.max(this.#newest, last);
    this.take({ epoch, first, last, items });
  }

  #pass(offset: number, reason: GapReason): void {
    if (!this.skip(offset)) return;
    this.#newest = Math.max(this.#newest, offset);
    this.#listener.onGap(reason, this.position as Position);
    this.release();
  }

  override restart(position: Position): void {
    super.restart(position);
    this.#newest = position.offset;
    this.#laggingAnswers = 0;
  }
}

export function moved({ epoch, offset }: Position, by: number): Position {
  return { epoch, offset: offset + by };
}
