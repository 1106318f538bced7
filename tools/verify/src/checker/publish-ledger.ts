/** The outcome of each publication of one stream, as its publisher knows it. */
import { type Range, RangeSet } from './range-set.js';

/** A ledger in the form that other processes receive. */
export interface LedgerEntries {
  readonly published: number;
  readonly lastAcknowledged: number;
  readonly refused: readonly Range[];
  readonly unknown: readonly Range[];
}

/** Numbers count from 1. Each is pending until it is acknowledged, refused (nobody got it) or in doubt. */
export class PublishLedger {
  readonly #refused = new RangeSet();
  readonly #doubted = new RangeSet();
  /** In the order of publication. */
  readonly #pending = new Set<number>();
  #published = 0;
  #acknowledged = 0;
  #lastAcknowledged = 0;

  /** The last number that was published. */
  get published(): number {
    return this.#published;
  }

  get lastAcknowledged(): number {
    return this.#lastAcknowledged;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  get refused(): number {
    return this.#refused.size;
  }

  get doubted(): number {
    return this.#doubted.size;
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** The outcomes of all numbers up to this one are known. */
  get settledUpTo(): number {
    const oldest = this.#pending.values().next();
    return oldest.done ? this.#published : oldest.value - 1;
  }

  /** The number of the next publication. */
  publish(): number {
    this.#published++;
    this.#pending.add(this.#published);
    return this.#published;
  }

  /** From now on every subscriber must get it. */
  acknowledge(number: number): void {
    if (!this.#pending.delete(number)) return;
    this.#acknowledged++;
    this.#lastAcknowledged = Math.max(this.#lastAcknowledged, number);
  }

  /** The publish was refused: no subscriber may ever get it. */
  refuse(number: number): void {
    if (this.#pending.delete(number)) this.#refused.add(number, number);
  }

  /** The publisher does not know: a subscriber may get it or not. */
  doubt(number: number): void {
    if (this.#pending.delete(number)) this.#doubted.add(number, number);
  }

  /** For the verdict. Pending publications count as unknown, like those in doubt. */
  entries(): LedgerEntries {
    const unknown = new RangeSet();
    for (const { from, to } of this.#doubted.ranges) unknown.add(from, to);
    for (const number of this.#pending) unknown.add(number, number);
    return {
      published: this.#published,
      lastAcknowledged: this.#lastAcknowledged,
      refused: this.#refused.ranges,
      unknown: unknown.ranges,
    };
  }
}
