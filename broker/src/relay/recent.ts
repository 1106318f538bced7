/** The newest publications of topics, as far as this node remembers them: what most of those who come back are served from. */
import { emptyRun, maxReplyBytes, type Run } from '@fanfare/protocol';
import { runOf, type StreamEntry } from './stream-entry.js';

/** About what an entry takes besides its bytes. */
const entryOverheadBytes = 200;

/** Most publications and bytes of one answer (PROTOCOL.md section 7): what is longer is asked for in pieces. */
export const maxAnswerPublications = 1_000;
export const maxAnswerBytes = maxReplyBytes;

/** The newest publications of one topic, without holes. */
export class Recent {
  readonly #budget: RecentBudget;
  readonly #maxPublications: number;
  #entries: StreamEntry[] = [];
  #bytes = 0;
  /** The last answer: in a storm thousands ask from the same position. */
  #answer: { readonly from: number; readonly to: number; readonly run: Run } | null = null;

  constructor(budget: RecentBudget, maxPublications: number) {
    this.#budget = budget;
    this.#maxPublications = maxPublications;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get entries(): readonly StreamEntry[] {
    return this.#entries;
  }

  get newest(): StreamEntry | undefined {
    return this.#entries.at(-1);
  }

  /** Offset of the oldest publication here; infinity where there is none. */
  get oldestOffset(): number {
    return this.#entries[0]?.first ?? Number.POSITIVE_INFINITY;
  }

  /** Whether what is here does not fit one answer: what comes before it is of no use to anybody who comes back. */
  get exceedsAnswer(): boolean {
    const { newest } = this;
    return newest !== undefined && endOfAnswer(this.#entries, this.oldestOffset, maxAnswerPublications) < newest.last;
  }

  /** `entry` must follow the newest one. */
  append(entry: StreamEntry): void {
    this.#entries.push(entry);
    this.#count(entry, 1);
    let excess = 0;
    while (entry.last - (this.#entries[excess] as StreamEntry).last >= this.#maxPublications) excess++;
    // Not one by one: each removal moves all that stay.
    if (excess > 16 || excess * 4 > this.#entries.length) this.#forgetOldest(excess);
    this.#budget.touch(this);
  }

  /** Puts older entries before those here; they must end where these begin. */
  prepend(older: readonly StreamEntry[]): void {
    this.#entries = [...older, ...this.#entries];
    for (const entry of older) this.#count(entry, 1);
    this.#budget.touch(this);
  }

  clear(): void {
    this.#budget.release(this);
    this.#entries = [];
    this.#bytes = 0;
    this.#answer = null;
  }

  /** The publications with offsets `from` to `to`; null where some are not here or it is too much for one answer. */
  between(from: number, to: number): Run | null {
    if (to < from) return emptyRun;
    if (from < this.oldestOffset || to > (this.newest?.last ?? 0)) return null;
    if (this.#answer?.from === from && this.#answer.to === to) return this.#answer.run;
    if (endOfAnswer(this.#entries, from, maxAnswerPublications) < to) return null;
    const run = runOf(this.#entries, from, to);
    this.#answer = { from, to, run };
    return run;
  }

  #forgetOldest(count: number): void {
    for (const entry of this.#entries.splice(0, count)) this.#count(entry, -1);
  }

  #count(entry: StreamEntry, sign: 1 | -1): void {
    const bytes = sign * (entry.bytes.length + entryOverheadBytes);
    this.#bytes += bytes;
    this.#budget.bytes += bytes;
  }
}

/** What all topics together may hold. Beyond it, those that were silent longest are forgotten. */
export class RecentBudget {
  bytes = 0;
  readonly #maxBytes: number;
  /** Longest silent first. */
  readonly #byLastUse = new Set<Recent>();

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  touch(recent: Recent): void {
    this.#byLastUse.delete(recent);
    this.#byLastUse.add(recent);
    while (this.bytes > this.#maxBytes) {
      const [oldest] = this.#byLastUse;
      if (oldest === undefined) return;
      oldest.clear();
    }
  }

  release(recent: Recent): void {
    this.bytes -= recent.bytes;
    this.#byLastUse.delete(recent);
  }
}

/** The last offset of an answer that begins at `from`: as many as asked for and fit, one publication at least. */
export function endOfAnswer(entries: readonly StreamEntry[], from: number, limit: number): number {
  let bytes = 0;
  let end = from - 1;
  for (const entry of entries) {
    if (entry.last < from) continue;
    bytes += entry.run.bytes.length;
    if (end >= from && bytes > maxAnswerBytes) break;
    end = entry.last;
    if (end - from + 1 >= limit) return from + limit - 1;
  }
  return end;
}
