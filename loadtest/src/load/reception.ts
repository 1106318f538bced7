/**
 * Records what subscribers receive: for each subscription and stream, the next number. So it detects lost, repeated and
 * reordered publications in memory that does not grow with the run.
 */
import { newHistogram, recordUs } from '@fanfare/kit/histogram';
import { nowUs, readPlannedUs, readSequence, readStream } from '@fanfare/kit/stamp';
import { streamsOf, topicsOfSubscriber, type Workload } from './workload.js';

/** The subscriber does not know the position of the stream: any next number is valid. */
const unknown = -1;

export interface ReceptionCounts {
  /** Publications that were the next of their stream, or followed a hole. */
  readonly deliveries: number;
  /** Numbers that were skipped or are missing at the end, since the start. */
  readonly lost: number;
  /** Repeated or out of order. */
  readonly repeated: number;
  /** Publications of another load: without a stamp, or from a stream to which the subscriber is not subscribed. */
  readonly foreign: number;
  /** Streams to which a subscriber came so late that its expected deliveries are unknown. */
  readonly unproven: number;
}

interface Place {
  /** The next number of each stream of each of its topics. */
  readonly next: Float64Array;
  /** Which of its topics is which. */
  readonly indexOf: (topic: number) => number | undefined;
}

export class Reception {
  deliveries = 0;
  #lost = 0;
  #repeated = 0;
  #foreign = 0;
  /** In µs, of a sample of the deliveries. */
  readonly latency = newHistogram();
  /** Whether latency is recorded. It is not recorded during the warm-up. */
  isMeasuring = false;
  readonly #places = new Map<number, Place>();
  readonly #streamsPerTopic: number;

  constructor(
    private readonly workload: Workload,
    private readonly latencySample: number,
  ) {
    this.#streamsPerTopic = Math.max(1, Math.ceil(streamsOf(workload) / workload.topics));
  }

  /** From now on the subscriber must get all publications; `isKnown`: from the first publication of each stream on. */
  begin(subscriber: number, isKnown: boolean): void {
    const topics = topicsOfSubscriber(subscriber, this.workload);
    const next = new Float64Array(topics.length * this.#streamsPerTopic).fill(isKnown ? 0 : unknown);
    this.#places.set(subscriber, { next, indexOf: indexOf(topics, this.workload.topics) });
  }

  /** From now on, missing publications of this topic do not count as lost. */
  interrupt(subscriber: number, topic: number): void {
    const place = this.#places.get(subscriber);
    const index = place?.indexOf(topic);
    if (place === undefined || index === undefined) return;
    place.next.fill(unknown, index * this.#streamsPerTopic, (index + 1) * this.#streamsPerTopic);
  }

  /** From now on, the subscriber expects no publications. */
  end(subscriber: number): void {
    this.#places.delete(subscriber);
  }

  record(subscriber: number, bytes: Uint8Array, stampAt: number): void {
    const place = this.#places.get(subscriber);
    if (place === undefined) return;
    const stream = readStream(bytes, stampAt);
    const sequence = readSequence(bytes, stampAt);
    const { topics } = this.workload;
    const index = place.indexOf(stream % topics) ?? Number.NaN;
    const cell = index * this.#streamsPerTopic + Math.floor(stream / topics);
    const expected = place.next[cell];
    // NaN, read from data without a stamp, ends here too.
    if (expected === undefined) {
      this.#foreign++;
      return;
    }
    if (sequence < expected) {
      this.#repeated++;
      return;
    }
    if (sequence > expected && expected !== unknown) this.#lost += sequence - expected;
    place.next[cell] = sequence + 1;
    this.deliveries++;
    if (this.isMeasuring && this.deliveries % this.latencySample === 0) {
      recordUs(this.latency, nowUs() - readPlannedUs(bytes, stampAt));
    }
  }

  /** Whether all have arrived, given how many of each stream were published. */
  hasAll(published: Float64Array): boolean {
    for (const { next, cell } of this.#behind(published)) if (next[cell] !== unknown) return false;
    return true;
  }

  /** Counts everything that has not arrived yet as lost. */
  conclude(published: Float64Array): ReceptionCounts {
    let unproven = 0;
    for (const { next, cell, total } of this.#behind(published)) {
      const expected = next[cell] as number;
      if (expected === unknown) {
        unproven++;
        continue;
      }
      this.#lost += total - expected;
      next[cell] = total;
    }
    return {
      deliveries: this.deliveries,
      lost: this.#lost,
      repeated: this.#repeated,
      foreign: this.#foreign,
      unproven,
    };
  }

  /** The streams with missing or unknown deliveries. */
  *#behind(published: Float64Array): Iterable<{ next: Float64Array; cell: number; total: number }> {
    const { topics } = this.workload;
    for (const [subscriber, { next }] of this.#places) {
      for (const [index, topic] of topicsOfSubscriber(subscriber, this.workload).entries()) {
        for (let part = 0; part < this.#streamsPerTopic; part++) {
          const total = published[part * topics + topic] ?? 0;
          const cell = index * this.#streamsPerTopic + part;
          if ((next[cell] as number) < total || next[cell] === unknown) yield { next, cell, total };
        }
      }
    }
  }
}

function indexOf(topics: readonly number[], all: number): (topic: number) => number | undefined {
  const [first] = topics;
  if (topics.length === 1) return (topic) => (topic === first ? 0 : undefined);
  if (topics.length === all && first === 0) return (topic) => topic;
  const indexes = new Map(topics.map((topic, index) => [topic, index]));
  return (topic) => indexes.get(topic);
}
