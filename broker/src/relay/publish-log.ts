/**
 * The publications of this node in the last seconds. Redis has acknowledged them, but may lose its state before any other node has received
 * them. Then only this node has them, or at least knows that they are missing (lua/recover.lua).
 */
import type { Topic } from '@fanfare/protocol';
import type { StreamEntry } from './stream-entry.js';

/** An entry as it is in Redis. It is decoded only if it must be restored. */
export type LoggedEntry = Omit<StreamEntry, 'run'>;

/** What a node remembers of a topic that it has published to. */
export interface LoggedTopic {
  readonly topic: Topic;
  /** The newest position that this node knows. */
  readonly epoch: string;
  readonly offset: number;
  /** In order of offset, of this epoch. */
  readonly entries: readonly LoggedEntry[];
  /** Whether entries are forgotten already, because there were too many. */
  readonly isThinned: boolean;
}

/** The maximum bytes of remembered entries. If there are more, the oldest are forgotten, but not the positions of their topics. */
const maxBytes = 16_777_216;
/** The approximate memory that an entry takes in addition to its bytes. */
const entryOverheadBytes = 200;
/** The maximum number of remembered topics, 200 bytes each. If there are more, the oldest are forgotten: {@link PublishLog.isComplete}. */
const maxTopics = 200_000;

/** The newest position of a topic that this node knows. */
interface Head {
  readonly topic: Topic;
  epoch: string;
  offset: number;
  /** The last second in which the topic was published to. */
  second: number;
  /** The second of the newest entry that was forgotten because there were too many. */
  thinnedSecond: number;
}

interface Logged extends LoggedEntry {
  readonly head: Head;
  readonly second: number;
  /** By performance.now(). */
  readonly at: number;
}

export class PublishLog {
  readonly #windowSeconds: number;
  /** The current second, counted by {@link endSecond}. */
  #second = 0;
  readonly #heads = new Map<Topic, Head>();
  /** The heads by their last second, from the oldest second of the window to the current one. */
  #seconds: Set<Head>[] = [new Set()];
  /** The first second from which on no topic is missing. */
  #completeSince = 0;
  #entries: Logged[] = [];
  /** How many of the oldest entries are forgotten already. */
  #gone = 0;
  #bytes = 0;
  /** When something was published last. */
  #lastAt = Number.NEGATIVE_INFINITY;

  /** `windowMs`: for how long publications are remembered. */
  constructor(windowMs: number) {
    // The current second has only just begun.
    this.#windowSeconds = Math.ceil(windowMs / 1_000) + 1;
  }

  /** Whether it has every topic that was published to within the window. */
  get isComplete(): boolean {
    return this.#completeSince <= Math.max(0, this.#oldestSecond);
  }

  /** How long ago the last publication was, in milliseconds; infinity if there was none. */
  get idleMs(): number {
    return performance.now() - this.#lastAt;
  }

  add(topic: Topic, entry: LoggedEntry): void {
    const at = performance.now();
    this.#lastAt = at;
    const { epoch, first, last, bytes } = entry;
    this.#entries.push({ epoch, first, last, bytes, head: this.#headOf(topic, entry), second: this.#second, at });
    this.#bytes += bytes.length + entryOverheadBytes;
    while (this.#bytes > maxBytes) {
      const oldest = this.#entries[this.#gone] as Logged;
      oldest.head.thinnedSecond = oldest.second;
      this.#forgetOldest(oldest);
    }
  }

  /**
   * A second is over: forgets what is older than the window. Returns the topics that have become idle: published to in the second before
   * this one, and not since.
   *
   * Call it once a second, except while Redis does not answer. So the log keeps publications from before an outage until the outage is
   * over.
   */
  endSecond(): readonly Pick<LoggedTopic, 'topic' | 'epoch' | 'offset'>[] {
    const idle = [...(this.#seconds.at(-2) ?? [])].map(({ topic, epoch, offset }) => ({ topic, epoch, offset }));
    this.#second++;
    this.#seconds.push(new Set());
    if (this.#seconds.length > this.#windowSeconds) {
      for (const { topic } of this.#seconds.shift() ?? []) this.#heads.delete(topic);
    }
    for (;;) {
      const oldest = this.#entries[this.#gone];
      if (oldest === undefined || oldest.second >= this.#oldestSecond) return idle;
      this.#forgetOldest(oldest);
    }
  }

  /** What is remembered of each topic. `maxAgeMs`: entries that are older are left out. */
  *topics(maxAgeMs = Number.POSITIVE_INFINITY): Iterable<LoggedTopic> {
    const entriesOf = new Map<Head, LoggedEntry[]>();
    const oldestAt = performance.now() - maxAgeMs;
    for (const { epoch, first, last, bytes, head, at } of this.#entries.slice(this.#gone)) {
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
      yield { topic, epoch, offset, isThinned: head.thinnedSecond >= this.#oldestSecond, entries };
    }
  }

  get #oldestSecond(): number {
    return this.#second - this.#windowSeconds + 1;
  }

  #headOf(topic: Topic, { epoch, last }: LoggedEntry): Head {
    let head = this.#heads.get(topic);
    if (head === undefined) {
      if (this.#heads.size === maxTopics) this.#forgetHeads();
      head = { topic, epoch, offset: last, second: this.#second, thinnedSecond: Number.NEGATIVE_INFINITY };
      this.#heads.set(topic, head);
      this.#seconds.at(-1)?.add(head);
      return head;
    }
    if (head.second !== this.#second) {
      this.#seconds[head.second - Math.max(0, this.#oldestSecond)]?.delete(head);
      head.second = this.#second;
      this.#seconds.at(-1)?.add(head);
    }
    // A publication that was known already may have an older position.
    if (head.epoch < epoch || (head.epoch === epoch && head.offset < last)) {
      head.epoch = epoch;
      head.offset = last;
    }
    return head;
  }

  #forgetHeads(): void {
    const current = this.#seconds.at(-1) ?? new Set();
    // If all of them were published to in this second.
    if (current.size > maxTopics / 2) current.clear();
    for (const head of this.#heads.values()) if (!current.has(head)) this.#heads.delete(head.topic);
    for (const second of this.#seconds) if (second !== current) second.clear();
    this.#completeSince = this.#second + 1;
  }

  #forgetOldest({ bytes }: Logged): void {
    this.#bytes -= bytes.length + entryOverheadBytes;
    this.#gone++;
    if (this.#gone * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#gone);
      this.#gone = 0;
    }
  }
}
