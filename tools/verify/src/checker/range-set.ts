/** A set of numbers, stored as ranges: even after a long run, a few ranges are enough. */

export interface Range {
  readonly from: number;
  /** Included. */
  readonly to: number;
}

export class RangeSet {
  /** Sorted, disjoint, and never adjacent. */
  readonly #ranges: Range[] = [];
  readonly #maxRanges: number;

  /** A number that needs more than `maxRanges` ranges is refused. */
  constructor(maxRanges = Number.POSITIVE_INFINITY) {
    this.#maxRanges = maxRanges;
  }

  get ranges(): readonly Range[] {
    return this.#ranges;
  }

  get size(): number {
    return this.#ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  }

  /** Adds `from` to `to`. Returns false and adds nothing if there is no room. An empty range adds nothing. */
  add(from: number, to: number): boolean {
    if (to < from) return true;
    const first = this.#firstFrom(from - 1);
    let last = first;
    let [low, high] = [from, to];
    for (let next = this.#ranges[last]; next !== undefined && next.from <= to + 1; next = this.#ranges[++last]) {
      low = Math.min(low, next.from);
      high = Math.max(high, next.to);
    }
    if (first === last && this.#ranges.length >= this.#maxRanges) return false;
    this.#ranges.splice(first, last - first, { from: low, to: high });
    return true;
  }

  has(number: number): boolean {
    const range = this.#ranges[this.#firstFrom(number)];
    return range !== undefined && range.from <= number;
  }

  /** Removes a number; false if it was not in the set. */
  remove(number: number): boolean {
    const at = this.#firstFrom(number);
    const range = this.#ranges[at];
    if (range === undefined || range.from > number) return false;
    const rest = [
      { from: range.from, to: number - 1 },
      { from: number + 1, to: range.to },
    ].filter(({ from, to }) => from <= to);
    this.#ranges.splice(at, 1, ...rest);
    return true;
  }

  /** How many numbers from `from` to `to` are in the set. */
  countIn(from: number, to: number): number {
    let count = 0;
    for (let at = this.#firstFrom(from); ; at++) {
      const range = this.#ranges[at];
      if (range === undefined || range.from > to) return count;
      count += Math.min(to, range.to) - Math.max(from, range.from) + 1;
    }
  }

  /** Index of the first range that ends at `number` or after it. */
  #firstFrom(number: number): number {
    let [low, high] = [0, this.#ranges.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ranges[middle]?.to ?? number) < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
