/**
 * What this node has published in the last seconds. Redis has acknowledged it, but may lose its state before any other node has received it.
 * Then only this node has it, or at least knows that it is missing (lua/recover.lua).
 */
import type { Topic } from '@fanfare/protocol';
import type { StreamEntry } from './stream-entry.js';

/** As it is in Redis: decoded only if it must be restored. */
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

/** Most bytes of entries that are remembered. If there are more, the oldest are forgotten, but not the positions of their topics. */
const maxBytes = 16_777_216;
/** About the memory that an entry takes in addition to its bytes. */
const entryOverheadBytes = 200;
/**
 * Most topics that are remembered, each counted once for each second in which it was published to; about 150 bytes each. A node that publishes
 * 20,000 times a second, each time to another topic, has fewer; to go through them takes about 0.3 s. If there are more,
 * the oldest are forgotten, and {@link PublishLog.isComplete} is false.
 */
const maxHeads = 200_000;

/** The position of a topic at the end of a second. */
interface Head {
  epoch: string;
  offset: number;
  isThinned: boolean;
}

type Second = Map<Topic, Head>;

interface Remembered {
  readonly topic: Topic;
  readonly entry: LoggedEntry;
  readonly head: Head;
  readonly second: Second;
  /** By performance.now(). */
  readonly at: number;
}

export class PublishLog {
  readonly #windowSeconds: number;
  /** The topics published to in each of the last seconds, the current one last. */
  #seconds: Second[] = [new Map()];
  #heads = 0;
  /** Seconds until everything is remembered again; 0 if it is. */
  #secondsToComplete = 0;
  #entries: Remembered[] = [];
  #bytes = 0;
  /** When something was published last. */
  #lastAt = Number.NEGATIVE_INFINITY;
  /** How many of the oldest entries are forgotten already. */
  #gone = 0;

  /** `windowMs`: for how long publications are remembered. */
  constructor(windowMs: number) {
    // The current second has only just begun.
    this.#windowSeconds = Math.ceil(windowMs / 1_000) + 1;
  }

  /** Whether it has every topic that was published to within the window. */
  get isComplete(): boolean {
    return this.#secondsToComplete === 0;
  }

  /** How long ago the last publication was, in milliseconds; infinity if there was none. */
  get silentMs(): number {
    return performance.now() - this.#lastAt;
  }

  add(topic: Topic, entry: LoggedEntry): void {
    const at = performance.now();
    this.#lastAt = at;
    this.#entries.push({ topic, entry, head: this.#headOf(topic, entry), second: this.#seconds.at(-1) as Second, at });
    this.#bytes += entry.bytes.length + entryOverheadBytes;
    while (this.#bytes > maxBytes) {
      const oldest = this.#entries[this.#gone] as Remembered;
      oldest.head.isThinned = true;
      this.#forgetOldest(oldest);
    }
  }

  /**
   * A second is over: forgets what is older than the window. Returns the topics that have become idle: published to in the second before
   * this one, and not since.
   *
   * To be called once a second, but not while Redis does not answer: what was published before an outage is not forgotten while it lasts.
   */
  endSecond(): readonly Pick<LoggedTopic, 'topic' | 'epoch' | 'offset'>[] {
    const [before, ended] = this.#seconds.slice(-2);
    const idle =
      before === undefined || ended === undefined
        ? []
        : [...before].flatMap(([topic, { epoch, offset }]) => (ended.has(topic) ? [] : { topic, epoch, offset }));
    this.#seconds.push(new Map());
    if (this.#seconds.length > this.#windowSeconds) this.#forgetSecond(this.#seconds.shift() as Second);
    if (this.#secondsToComplete > 0) this.#secondsToComplete--;
    return idle;
  }

  /** What is remembered of each topic. `maxAgeMs`: entries that are older are left out. */
  *topics(maxAgeMs = Number.POSITIVE_INFINITY): Iterable<LoggedTopic> {
    const heads = new Map<Topic, Head>();
    // There may be hundreds of thousands, so as few objects as possible are made for each.
    for (const second of this.#seconds.toReversed()) {
      for (const [topic, head] of second) {
        const known = heads.get(topic);
        if (known === undefined) heads.set(topic, head);
        else if (head.isThinned || isLater(head, known)) heads.set(topic, joined(known, head));
      }
    }
    const entriesOf = new Map<Topic, LoggedEntry[]>();
    const oldestAt = performance.now() - maxAgeMs;
    for (const { topic, entry, at } of this.#entries.slice(this.#gone)) {
      // Only the newest epoch of a topic has not ended.
      if (at < oldestAt || entry.epoch !== heads.get(topic)?.epoch) continue;
      const entries = entriesOf.get(topic);
      if (entries === undefined) entriesOf.set(topic, [entry]);
      else entries.push(entry);
    }
    for (const [topic, head] of heads) {
      const entries = entriesOf.get(topic)?.sort((one, other) => one.first - other.first) ?? [];
      yield { topic, epoch: head.epoch, offset: head.offset, isThinned: head.isThinned, entries };
    }
  }

  #headOf(topic: Topic, { epoch, last }: LoggedEntry): Head {
    const second = this.#seconds.at(-1) as Second;
    const head = second.get(topic);
    if (head === undefined) {
      if (this.#heads === maxHeads) this.#forgetHeads();
      const made = { epoch, offset: last, isThinned: false };
      second.set(topic, made);
      this.#heads++;
      return made;
    }
    // A publication that was known already may have an older position.
    if (head.epoch < epoch || (head.epoch === epoch && head.offset < last)) {
      head.epoch = epoch;
      head.offset = last;
    }
    return head;
  }

  #forgetHeads(): void {
    const current = this.#seconds.at(-1) as Second;
    for (const second of this.#seconds) if (second !== current) second.clear();
    if (current.size > maxHeads / 2) current.clear();
    this.#heads = current.size;
    this.#secondsToComplete = this.#windowSeconds;
  }

  #forgetSecond(second: Second): void {
    this.#heads -= second.size;
    for (;;) {
      const oldest = this.#entries[this.#gone];
      if (oldest?.second !== second) return;
      this.#forgetOldest(oldest);
    }
  }

  #forgetOldest({ entry }: Remembered): void {
    this.#bytes -= entry.bytes.length + entryOverheadBytes;
    this.#gone++;
    if (this.#gone * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#gone);
      this.#gone = 0;
    }
  }
}

function isLater(one: Head, other: Head): boolean {
  return one.epoch > other.epoch || (one.epoch === other.epoch && one.offset > other.offset);
}

function joined(one: Head, other: Head): Head {
  const { epoch, offset } = isLater(other, one) ? other : one;
  return { epoch, offset, isThinned: one.isThinned || other.isThinned };
}
