/** The newest publications of topics, in the memory of this node: most subscribers that return are served from here. */
import { emptyRun, maxReplyBytes, type Run } from '@fanfare/protocol';
import { runOf, type StreamEntry } from './stream-entry.js';

/** The approximate memory that an entry takes in addition to its bytes. */
const entryOverheadBytes = 200;

/** Maximum number of publications and bytes in one answer (PROTOCOL.md section 7). Clients read more in pieces. */
export const maxAnswerPublications = 1_000;
export const maxAnswerBytes = maxReplyBytes;

/** The newest publications of one topic, without holes. */
export class TopicCache {
  #entries: StreamEntry[] = [];
  #bytes = 0;
  /** The last answer: after an outage thousands of subscribers ask from the same position. */
  #answer: { readonly from: number; readonly to: number; readonly run: Run } | null = null;

  constructor(
    private readonly budget: CacheBudget,
    private readonly maxPublications: number,
  ) {}

  get bytes(): number {
    return this.#bytes;
  }

  get entries(): readonly StreamEntry[] {
    return this.#entries;
  }

  get newest(): StreamEntry | undefined {
    return this.#entries.at(-1);
  }

  /** Offset of the oldest publication here; infinity if there is none. */
  get oldestOffset(): number {
    return this.#entries[0]?.first ?? Number.POSITIVE_INFINITY;
  }

  /** Whether the cached publications exceed one answer. Then older publications are useless for a subscriber that returns. */
  get exceedsAnswer(): boolean {
    const { newest } = this;
    return newest !== undefined && endOfAnswer(this.#entries, this.oldestOffset, maxAnswerPublications) < newest.last;
  }

  /** `entry` must follow the newest one. */
  append(entry: StreamEntry): void {
    this.#entries.push(entry);
    this.#count(entry, 1);
    let excess = 0;
    while (entry.last - (this.#entries[excess] as StreamEntry).last >= this.maxPublications) excess++;
    // Remove several at once, because each removal moves all other entries.
    if (excess > 16 || excess * 4 > this.#entries.length) this.#forgetOldest(excess);
    this.budget.touch(this);
  }

  /** Adds older entries. They must end where the cached entries begin. */
  prepend(older: readonly StreamEntry[]): void {
    this.#entries = [...older, ...this.#entries];
    for (const entry of older) this.#count(entry, 1);
    this.budget.touch(this);
  }

  clear(): void {
    this.budget.release(this);
    this.#entries = [];
    this.#bytes = 0;
    this.#answer = null;
  }

  /** The publications with offsets `from` to `to`. Null if some are not in the cache, or if they are too many for one answer. */
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
    this.budget.bytes += bytes;
  }
}

/** The bytes that all topics together may hold. Beyond it, the topics that were idle longest are cleared. */
export class CacheBudget {
  bytes = 0;
  /** Longest idle first. */
  readonly #byLastUse = new Set<TopicCache>();

  constructor(private readonly maxBytes: number) {}

  touch(cache: TopicCache): void {
    this.#byLastUse.delete(cache);
    this.#byLastUse.add(cache);
    while (this.bytes > this.maxBytes) {
      const [oldest] = this.#byLastUse;
      if (oldest === undefined) return;
      oldest.clear();
    }
  }

  release(cache: TopicCache): void {
    this.bytes -= cache.bytes;
    this.#byLastUse.delete(cache);
  }
}

/**
 * The last offset of an answer that begins at `from`. The answer has at least one publication, at most the requested
 * number, and no more than fit.
 */
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
