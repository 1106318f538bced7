/**
 * What this node has published lately: Redis has acknowledged it, and may lose its state before any other node has heard it. Then this node
 * is the last that has it, or at least knows that it is missing (lua/recover.lua).
 */
import type { Topic } from '@fanfare/protocol';
import type { StreamEntry } from './stream-entry.js';

/** As it is in Redis: what it holds is only read if it must be given back. */
export type PublishedEntry = Omit<StreamEntry, 'run'>;

/** What a node remembers of a topic that it has published to. */
export interface PublishedTopic {
  readonly topic: Topic;
  /** Where the topic stands at least. */
  readonly epoch: string;
  readonly offset: number;
  /** In order of offset, of this epoch. */
  readonly entries: readonly PublishedEntry[];
  /** Whether some of what it published is forgotten already, because it was too much. */
  readonly isThinned: boolean;
}

/** Most bytes of publications that are remembered. If there are more, the oldest are forgotten, but not that they were published. */
const maxBytes = 16_777_216;
/** About what an entry takes besides its bytes. */
const entryOverheadBytes = 200;
/**
 * Most topics that are remembered, each counted once for each second in which it was published to; about 150 bytes each. A node that publishes
 * 20,000 times a second, each time to another topic, has fewer; to go through them takes about 0.3 s. If there are more,
 * the oldest are forgotten, and {@link Published.isWhole} says so.
 */
const maxHeads = 200_000;

/** Where a topic stood at the end of a second. */
interface Head {
  epoch: string;
  offset: number;
  isThinned: boolean;
}

type Second = Map<Topic, Head>;

interface Remembered {
  readonly topic: Topic;
  readonly entry: PublishedEntry;
  readonly head: Head;
  readonly second: Second;
  /** By performance.now(). */
  readonly at: number;
}

export class Published {
  readonly #windowSeconds: number;
  /** The topics published to in each of the last seconds, the present one last. */
  #seconds: Second[] = [new Map()];
  #heads = 0;
  /** After how many more seconds everything is remembered again; 0: it is. */
  #secondsToWhole = 0;
  #entries: Remembered[] = [];
  #bytes = 0;
  /** When something was published last. */
  #lastAt = Number.NEGATIVE_INFINITY;
  /** How many of the oldest entries are forgotten already. */
  #gone = 0;

  /** `windowMs`: for how long it is remembered what was published. */
  constructor(windowMs: number) {
    // The present second has only just begun.
    this.#windowSeconds = Math.ceil(windowMs / 1_000) + 1;
  }

  /** Whether it is known of every topic that was published to within the window. */
  get isWhole(): boolean {
    return this.#secondsToWhole === 0;
  }

  /** How long ago the last publication was, in milliseconds; infinity if there was none. */
  get silentMs(): number {
    return performance.now() - this.#lastAt;
  }

  add(topic: Topic, entry: PublishedEntry): void {
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
   * A second is over: forgets what is older than the window. Answers with the topics that have fallen silent: published to in the second
   * before this one, and not since.
   *
   * To be called once a second, but not while Redis does not answer: what was published before an outage is not forgotten while it lasts.
   */
  turn(): readonly Omit<PublishedTopic, 'entries' | 'isThinned'>[] {
    const [before, ended] = this.#seconds.slice(-2);
    const silent =
      before === undefined || ended === undefined
        ? []
        : [...before].flatMap(([topic, { epoch, offset }]) => (ended.has(topic) ? [] : { topic, epoch, offset }));
    this.#seconds.push(new Map());
    if (this.#seconds.length > this.#windowSeconds) this.#forgetSecond(this.#seconds.shift() as Second);
    if (this.#secondsToWhole > 0) this.#secondsToWhole--;
    return silent;
  }

  /** What is remembered of each topic. `maxAgeMs`: entries that are older are left out. */
  *topics(maxAgeMs = Number.POSITIVE_INFINITY): Iterable<PublishedTopic> {
    const heads = new Map<Topic, Head>();
    // There may be hundreds of thousands, so as little as possible is made for each.
    for (const second of this.#seconds.toReversed()) {
      for (const [topic, head] of second) {
        const known = heads.get(topic);
        if (known === undefined) heads.set(topic, head);
        else if (head.isThinned || isLater(head, known)) heads.set(topic, joined(known, head));
      }
    }
    const entriesOf = new Map<Topic, PublishedEntry[]>();
    const oldestAt = performance.now() - maxAgeMs;
    for (const { topic, entry, at } of this.#entries.slice(this.#gone)) {
      // Of several epochs, only the newest has not ended.
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

  #headOf(topic: Topic, { epoch, last }: PublishedEntry): Head {
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
    this.#secondsToWhole = this.#windowSeconds;
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
