/** Consecutive entries of a topic, in one buffer. An entry needs no object of its own, even if a node keeps many. */
import { readEntry, type StreamEntry } from './stream-entry.js';

/** The approximate memory of a block and of an entry in addition to the buffer, in bytes. */
const blockOverheadBytes = 600;
const entryOverheadBytes = 16;

export class EntryBlock {
  readonly epoch: string;
  readonly #memory: Buffer;
  /** For each entry its first offset, and where it ends in the buffer. */
  readonly #firsts: number[];
  readonly #ends: number[];
  #last: number;

  /** Copies its first entry. `capacity`: of the buffer, in bytes; at least the size of the entry. */
  constructor({ epoch, first, last, bytes }: StreamEntry, capacity: number) {
    this.epoch = epoch;
    this.#memory = Buffer.allocUnsafeSlow(Math.max(capacity, bytes.length));
    this.#memory.set(bytes);
    this.#firsts = [first];
    this.#ends = [bytes.length];
    this.#last = last;
  }

  /** The approximate memory that it takes. */
  get bytes(): number {
    return this.#memory.length + blockOverheadBytes + this.#firsts.length * entryOverheadBytes;
  }

  /** Offset of its oldest publication. */
  get first(): number {
    return this.#firsts[0] as number;
  }

  /** Offset of its newest publication. */
  get last(): number {
    return this.#last;
  }

  /** The newest entry. */
  get newest(): StreamEntry {
    return this.#entry(this.#firsts.length - 1);
  }

  /**
   * Copies an entry that follows the newest one. Returns false if it has another epoch, or if the buffer has no room
   * for it.
   */
  append({ epoch, first, last, bytes }: StreamEntry): boolean {
    const start = this.#ends.at(-1) ?? 0;
    if (epoch !== this.epoch || start + bytes.length > this.#memory.length) return false;
    this.#memory.set(bytes, start);
    this.#firsts.push(first);
    this.#ends.push(start + bytes.length);
    this.#last = last;
    return true;
  }

  /** Adds the entries that have publications from offset `from` on. They are views of the buffer. */
  addTo(entries: StreamEntry[], from: number): void {
    if (this.#last < from) return;
    for (let index = 0; index < this.#firsts.length; index++) {
      if ((this.#firsts[index + 1] ?? this.#last + 1) > from) entries.push(this.#entry(index));
    }
  }

  #entry(index: number): StreamEntry {
    const bytes = this.#memory.subarray(this.#ends[index - 1] ?? 0, this.#ends[index]);
    return readEntry(this.epoch, this.#firsts[index] as number, bytes);
  }
}
