/**
 * The publications of this node in the last seconds. Redis has acknowledged them, but may lose its state before any
 * other node has received them. Then only this node has them, or at least knows that they are missing
 * (lua/recover.lua).
 */
import type { Topic } from '@fanfare/protocol';
import type { MemoryTimes } from './memory-times.js';
import type { RelayPart } from './relay-share.js';
import type { StreamEntry } from './stream-entry.js';

/** An entry as it is in Redis. It is decoded only if it must be restored. */
export type LoggedEntry = Omit<StreamEntry, 'run'>;

/** What a node remembers of a topic that it has published to. */
export interface LoggedTopic {
  readonly topic: Topic;
  /** The newest position that this node knows. */
  readonly epoch: string;
  readonly offset: number;
  /** The remembered entries of this epoch, in order of offset. */
  readonly entries: readonly LoggedEntry[];
  /** Whether entries are forgotten already, because there were too many. */
  readonly isThinned: boolean;
}

/** The approximate memory that an entry takes in addition to its bytes. */
const entryOverheadBytes = 200;
/**
 * The maximum number of topics that a node remembers. Each takes 200 bytes. If there are more, the oldest are forgotten, and
 * {@link PublishLog.isComplete} is false.
 */
const maxTopics = 200_000;

/** The newest position of a topic that this node knows. */
interface Head {
  readonly topic: Topic;
  epoch: string;
  offset: number;
  /** The last period in which the topic was published to. */
  period: number;
  /** The period of the newest entry that was forgotten because there were too many. */
  thinnedPeriod: number;
}

interface Logged extends LoggedEntry {
  readonly head: Head;
  readonly period: number;
  /** When it was acknowledged, by performance.now(). */
  readonly at: number;
}

export class PublishLog {
  /** The window, counted in periods of {@link MemoryTimes.maxHeartbeatMs}. */
  readonly #windowPeriods: number;
  /** The current period, counted by {@link endPeriod}. */
  #period = 0;
  readonly #heads = new Map<Topic, Head>();
  /** The heads by their last period, from the oldest period of the window to the current one. */
  #periods: Set<Head>[] = [new Set()];
  /** The first period since which no topic is missing. */
  #completeSince = 0;
  /** Null: forgotten. */
  #entries: (Logged | null)[] = [];
  /** How many of the oldest entries are forgotten already. */
  #gone = 0;
  /** When something was published last. */
  #lastAt = Number.NEGATIVE_INFINITY;

  /** `rememberMs`: the window, for which publications are remembered. */
  constructor(
    { rememberMs, maxHeartbeatMs }: Pick<MemoryTimes, 'rememberMs' | 'maxHeartbeatMs'>,
    private readonly part: RelayPart,
  ) {
    // The current period has only just begun.
    this.#windowPeriods = Math.ceil(rememberMs / maxHeartbeatMs) + 1;
  }

  /** Whether it has every topic that was published to within the window. */
  get isComplete(): boolean {
    return this.#completeSince <= Math.max(0, this.#oldestPeriod);
  }

  /** How long ago the last publication was, in milliseconds; infinity if there was none. */
  get idleMs(): number {
    return performance.now() - this.#lastAt;
  }

  add(topic: Topic, entry: LoggedEntry): void {
    const at = performance.now();
    this.#lastAt = at;
    const { epoch, first, last, bytes } = entry;
    this.#entries.push({ epoch, first, last, bytes, head: this.#headOf(topic, entry), period: this.#period, at });
    this.part.logged.bytes += bytes.length + entryOverheadBytes;
    while (this.part.logged.isOver) {
      const oldest = this.#entries[this.#gone];
      if (!oldest) break;
      oldest.head.thinnedPeriod = oldest.period;
      this.#forgetOldest(oldest);
    }
  }

  /**
   * A period is over: forgets what is older than the window. Returns the topics that have become idle: published to in
   * the period before this one, and not since.
   *
   * Call it once a period, except while Redis does not answer. So the log keeps publications from before an outage
   * until the outage is over.
   */
  endPeriod(): readonly Pick<LoggedTopic, 'topic' | 'epoch' | 'offset'>[] {
    const idle = [...(this.#periods.at(-2) ?? [])].map(({ topic, epoch, offset }) => ({ topic, epoch, offset }));
    this.#period++;
    this.#periods.push(new Set());
    if (this.#periods.length > this.#windowPeriods) {
      for (const { topic } of this.#periods.shift() ?? []) this.#heads.delete(topic);
    }
    for (;;) {
      const oldest = this.#entries[this.#gone];
      if (!oldest || oldest.period >= this.#oldestPeriod) return idle;
      this.#forgetOldest(oldest);
    }
  }

  /** What is remembered of each topic. `maxAgeMs`: entries that are older are left out. */
  *topics(maxAgeMs = Number.POSITIVE_INFINITY): Iterable<LoggedTopic> {
    const entriesOf = new Map<Head, LoggedEntry[]>();
    const oldestAt = performance.now() - maxAgeMs;
    for (const logged of this.#entries.slice(this.#gone)) {
      if (logged === null) continue;
      const { epoch, first, last, bytes, head, at } = logged;
      // Only the newest epoch of a topic has not ended.
      if (at < oldestAt || epoch !== head.epoch) continue;
      const entry = { epoch, first, last, bytes };
      const entries = entriesOf.get(head);
      if (entries === undefined) entriesOf.set(head, [entry]);
      else entries.push(entry);
    }
    for (const head of this.#heads.values()) {
      const { topic, epoch, offset } = head;
      const entries = entriesOf.get(head)?.sort((one, other) => one.first - other.first) ?? [];
      yield { topic, epoch, offset, isThinned: head.thinnedPeriod >= this.#oldestPeriod, entries };
    }
  }

  /**
   * Another relay of this node has the topics now: it remembers their publications, as long as this one would have.
   * Returns whether there are any.
   */
  handOver(isMoved: (topic: Topic) => boolean, to: PublishLog): boolean {
    const moved = [...this.#heads.values()].filter(({ topic }) => isMoved(topic));
    if (moved.length === 0) return false;
    const heads = new Set(moved);
    const [taken, kept] = [[], []] as [Logged[], Logged[]];
    for (const logged of this.#entries.slice(this.#gone))
      if (logged !== null) (heads.has(logged.head) ? taken : kept).push(logged);
    this.#entries = kept;
    this.#gone = 0;
    // The relays count their periods separately.
    const later = to.#period - this.#period;
    const known = to.#entries.slice(to.#gone).filter((logged) => logged !== null);
    if (!this.isComplete) to.#completeSince = Math.max(to.#completeSince, this.#completeSince + later);
    to.#lastAt = Math.max(to.#lastAt, this.#lastAt);
    for (const head of moved) {
      this.#periods[head.period - Math.max(0, this.#oldestPeriod)]?.delete(head);
      this.#heads.delete(head.topic);
      to.#adopt(head, later);
    }
    const adopted = taken.flatMap((logged) => {
      const head = to.#heads.get(logged.head.topic);
      // Its epoch has ended there.
      return head?.epoch === logged.head.epoch ? [{ ...logged, head, period: logged.period + later }] : [];
    });
    this.part.logged.bytes -= sizeOf(taken);
    to.part.logged.bytes += sizeOf(adopted);
    to.#entries = [...known, ...adopted].sort((one, other) => one.at - other.at);
    to.#gone = 0;
    return true;
  }

  /** Takes the head of a topic from another log, whose periods have numbers that are lower by `later`. */
  #adopt({ topic, epoch, offset, period, thinnedPeriod }: Head, later: number): void {
    const before = this.#heads.get(topic);
    if (before !== undefined && before.epoch > epoch) return;
    if (before !== undefined) this.#periods[before.period - Math.max(0, this.#oldestPeriod)]?.delete(before);
    else if (this.#heads.size >= this.part.topics(maxTopics)) this.#forgetHeads();
    const oldest = Math.max(0, this.#oldestPeriod);
    const head = {
      topic,
      epoch,
      offset: before?.epoch === epoch ? Math.max(offset, before.offset) : offset,
      period: Math.max(oldest, period + later, before?.period ?? 0),
      thinnedPeriod: Math.max(thinnedPeriod + later, before?.thinnedPeriod ?? Number.NEGATIVE_INFINITY),
    };
    this.#heads.set(topic, head);
    this.#periods[head.period - oldest]?.add(head);
  }

  get #oldestPeriod(): number {
    return this.#period - this.#windowPeriods + 1;
  }

  #headOf(topic: Topic, { epoch, last }: Pick<LoggedEntry, 'epoch' | 'last'>): Head {
    let head = this.#heads.get(topic);
    if (head === undefined) {
      if (this.#heads.size >= this.part.topics(maxTopics)) this.#forgetHeads();
      head = { topic, epoch, offset: last, period: this.#period, thinnedPeriod: Number.NEGATIVE_INFINITY };
      this.#heads.set(topic, head);
      this.#periods.at(-1)?.add(head);
      return head;
    }
    if (head.period !== this.#period) {
      this.#periods[head.period - Math.max(0, this.#oldestPeriod)]?.delete(head);
      head.period = this.#period;
      this.#periods.at(-1)?.add(head);
    }
    // A publication that was known already may have an older position.
    if (head.epoch < epoch || (head.epoch === epoch && head.offset < last)) {
      head.epoch = epoch;
      head.offset = last;
    }
    return head;
  }

  #forgetHeads(): void {
    const current = this.#periods.at(-1) ?? new Set();
    // If most topics were published to in the current period, forget them all.
    if (current.size > this.part.topics(maxTopics) / 2) current.clear();
    for (const head of this.#heads.values()) if (!current.has(head)) this.#heads.delete(head.topic);
    for (const period of this.#periods) if (period !== current) period.clear();
    this.#completeSince = this.#period + 1;
  }

  #forgetOldest({ bytes }: Logged): void {
    this.part.logged.bytes -= bytes.length + entryOverheadBytes;
    this.#entries[this.#gone++] = null;
    if (this.#gone * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#gone);
      this.#gone = 0;
    }
  }
}

function sizeOf(entries: readonly Logged[]): number {
  return entries.reduce((sum, { bytes }) => sum + bytes.length + entryOverheadBytes, 0);
}
