/**
 * What this node has published a moment ago: Redis has acknowledged it, and may lose its state before any other node has heard it. Then
 * this is the last place where it is (lua/recover.lua).
 */
import type { Topic } from '@fanfare/protocol';

/** An entry of a topic's stream. */
export interface PublishedEntry {
  readonly topic: Topic;
  readonly epoch: string;
  /** Offsets of its first and its last publication. */
  readonly first: number;
  readonly last: number;
  readonly bytes: Buffer;
}

/** How long it is remembered, in milliseconds: nodes hear from Redis within a fraction of it, or are repaired. */
export const rememberMs = 5_000;
/** Most bytes remembered: of more, the oldest are forgotten early. */
const maxBytes = 16_777_216;
/** About what an entry takes besides its bytes. */
const entryOverheadBytes = 200;

interface Remembered {
  readonly entry: PublishedEntry;
  readonly at: number;
  readonly wasKnown: boolean;
}

export class Published {
  #entries: Remembered[] = [];
  #bytes = 0;
  /** How many of the oldest are forgotten already. */
  #gone = 0;

  /** `wasKnown`: the topic had it already. It says nothing of where the topic stands. */
  add(entry: PublishedEntry, wasKnown = false): void {
    const now = performance.now();
    this.#entries.push({ entry, at: now, wasKnown });
    this.#bytes += entry.bytes.length + entryOverheadBytes;
    this.#forgetOld(now);
  }

  /**
   * By topic, in order of offset, what is no older than `maxAgeMs`. What is old is not forgotten here: an outage may have lasted longer
   * than that.
   */
  byTopic(maxAgeMs = Number.POSITIVE_INFINITY): ReadonlyMap<Topic, readonly PublishedEntry[]> {
    const topics = new Map<Topic, PublishedEntry[]>();
    const oldest = performance.now() - maxAgeMs;
    for (const { entry, at } of this.#entries.slice(this.#gone)) {
      if (at < oldest) continue;
      const entries = topics.get(entry.topic);
      if (entries === undefined) topics.set(entry.topic, [entry]);
      else entries.push(entry);
    }
    for (const entries of topics.values()) entries.sort((one, other) => one.first - other.first);
    return topics;
  }

  /** The last entry of each topic whose last publication fell between two moments (of performance.now()). */
  *fallenSilent(from: number, to: number): Iterable<PublishedEntry> {
    this.#forgetOld(performance.now());
    const seen = new Set<Topic>();
    for (let index = this.#entries.length - 1; index >= this.#gone; index--) {
      const { entry, at, wasKnown } = this.#entries[index] as Remembered;
      if (at < from) return;
      if (wasKnown || seen.has(entry.topic)) continue;
      seen.add(entry.topic);
      if (at < to) yield entry;
    }
  }

  #forgetOld(now: number): void {
    while (this.#gone < this.#entries.length) {
      const oldest = this.#entries[this.#gone];
      if (oldest === undefined || (now - oldest.at <= rememberMs && this.#bytes <= maxBytes)) break;
      this.#bytes -= oldest.entry.bytes.length + entryOverheadBytes;
      this.#gone++;
    }
    if (this.#gone * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#gone);
      this.#gone = 0;
    }
  }
}
