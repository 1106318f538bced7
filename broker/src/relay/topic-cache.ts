/** The newest publications of topics, in the memory of this node: most subscribers that return are served from here. */
import { emptyRun, maxReplyBytes, type Run } from '@fanfare/protocol';
import { EntryBlock } from './entry-block.js';
import { runOf, type StreamEntry } from './stream-entry.js';

/** Maximum number of publications and bytes in one answer (PROTOCOL.md section 7). Clients read more in pieces. */
export const maxAnswerPublications = 1_000;
export const maxAnswerBytes = maxReplyBytes;

/** Smallest and largest capacity of a block, in bytes. */
const minBlockBytes = 256;
const maxBlockBytes = 65_536;

interface Answer {
  readonly from: number;
  readonly to: number;
  readonly run: Run;
}

/** The newest publications of one topic, without holes. */
export class TopicCache {
  /** Oldest first. */
  #blocks: EntryBlock[] = [];
  #bytes = 0;
  /** The last answer: after an outage thousands of subscribers ask from the same position. */
  #answer: Answer | null = null;

  constructor(
    private readonly budget: CacheBudget,
    private readonly maxPublications: number,
  ) {}

  /** The approximate memory that it takes. */
  get bytes(): number {
    return this.#bytes;
  }

  get entries(): readonly StreamEntry[] {
    return this.#entriesFrom(0);
  }

  get newest(): StreamEntry | undefined {
    return this.#blocks.at(-1)?.newest;
  }

  /** Offset of the oldest publication here; infinity if there is none. */
  get oldestOffset(): number {
    return this.#blocks[0]?.first ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Whether the cached publications exceed one answer. Then older publications are useless for a subscriber that
   * returns.
   */
  get exceedsAnswer(): boolean {
    const { oldestOffset } = this;
    if (this.#newestOffset - oldestOffset >= maxAnswerPublications) return true;
    // The memory of few publications is less than an answer may hold.
    if (this.#bytes <= maxAnswerBytes) return false;
    return endOfAnswer(this.entries, oldestOffset, maxAnswerPublications) < this.#newestOffset;
  }

  /** Copies an entry. It must follow the newest one. */
  append(entry: StreamEntry): void {
    // Blocks are small compared to the whole cache, because the cache forgets whole blocks. Many topics have only one
    // publication.
    const capacity = this.#blocks.length === 0 ? 0 : Math.min(Math.max(minBlockBytes, this.#bytes / 4), maxBlockBytes);
    if (this.#add(entry, this.#blocks, capacity)) this.#forgetOld(entry.last);
    // Nobody asks for it again: answers end with the newest publication.
    this.#keepAnswer(null);
    this.budget.touch(this);
  }

  /** Copies older entries. They must end where the cached entries begin. */
  prepend(older: readonly StreamEntry[]): void {
    const bytes = older.reduce((sum, entry) => sum + entry.bytes.length, 0);
    const blocks: EntryBlock[] = [];
    for (const entry of older) this.#add(entry, blocks, Math.min(bytes, maxBlockBytes));
    this.#blocks = [...blocks, ...this.#blocks];
    this.budget.touch(this);
  }

  clear(): void {
    this.budget.forget(this);
    this.#count(-this.#bytes);
    this.#blocks = [];
    this.#answer = null;
  }

  #keepAnswer(answer: Answer | null): void {
    this.#count((answer?.run.bytes.length ?? 0) - (this.#answer?.run.bytes.length ?? 0));
    this.#answer = answer;
  }

  /**
   * The publications with offsets `from` to `to`. Null if some are not in the cache, or if they are too many for one
   * answer.
   */
  between(from: number, to: number): Run | null {
    if (to < from) return emptyRun;
    if (from < this.oldestOffset || to > this.#newestOffset) return null;
    if (this.#answer?.from === from && this.#answer.to === to) return this.#answer.run;
    const entries = this.#entriesFrom(from);
    if (endOfAnswer(entries, from, maxAnswerPublications) < to) return null;
    const run = runOf(entries, from, to);
    this.#keepAnswer({ from, to, run });
    return run;
  }

  get #newestOffset(): number {
    return this.#blocks.at(-1)?.last ?? 0;
  }

  #entriesFrom(offset: number): StreamEntry[] {
    const entries: StreamEntry[] = [];
    for (const block of this.#blocks) block.addTo(entries, offset);
    return entries;
  }

  /** Adds an entry to the last block, or to a new one with this capacity. Returns whether there is a new one. */
  #add(entry: StreamEntry, blocks: EntryBlock[], capacity: number): boolean {
    const last = blocks.at(-1);
    const before = last?.bytes ?? 0;
    const isNew = !last?.append(entry);
    if (isNew) blocks.push(new EntryBlock(entry, Math.ceil(capacity)));
    this.#count((blocks.at(-1) as EntryBlock).bytes - (isNew ? 0 : before));
    return isNew;
  }

  /** Forgets each block that has no publication among the newest. */
  #forgetOld(newest: number): void {
    let excess = 0;
    while (newest - (this.#blocks[excess] as EntryBlock).last >= this.maxPublications) {
      this.#count(-(this.#blocks[excess] as EntryBlock).bytes);
      excess++;
    }
    if (excess > 0) this.#blocks.splice(0, excess);
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.budget.bytes += bytes;
  }
}

/** The bytes that all topics together may hold. Beyond it, the topics that were idle longest are cleared. */
export class CacheBudget {
  bytes = 0;
  /** The caches in the order of their last use, as a linked list: each publication moves one to the end. */
  readonly #links = new Map<TopicCache, Link>();
  readonly #ends: Link;

  constructor(private readonly maxBytes: number) {
    this.#ends = newLink(null);
  }

  touch(cache: TopicCache): void {
    let link = this.#links.get(cache);
    if (link === undefined) {
      link = newLink(cache);
      this.#links.set(cache, link);
    }
    unlink(link);
    link.earlier = this.#ends.earlier;
    link.later = this.#ends;
    link.earlier.later = link;
    this.#ends.earlier = link;
    while (this.bytes > this.maxBytes && this.#ends.later.cache !== null) this.#ends.later.cache.clear();
  }

  /** The cache holds nothing any more. */
  forget(cache: TopicCache): void {
    const link = this.#links.get(cache);
    if (link === undefined) return;
    unlink(link);
    this.#links.delete(cache);
  }
}

/** The list is a circle: the link without a cache is before the first cache and after the last one. */
interface Link {
  readonly cache: TopicCache | null;
  earlier: Link;
  later: Link;
}

function newLink(cache: TopicCache | null): Link {
  const link = { cache } as Link;
  link.earlier = link;
  link.later = link;
  return link;
}

function unlink({ earlier, later }: Link): void {
  earlier.later = later;
  later.earlier = earlier;
}

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
