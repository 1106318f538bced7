/** Topics that a fault must not affect: how late their publications are, and how long their publishers wait. */
import { Latency, type LatencyByPhase } from './latency.js';
import type { VerifyTopic } from './numbered.js';

/** What publishing gave. */
export type Outcome = 'acknowledged' | 'refused' | 'unknown';

/** Only publications that were sent before the end of the fault and settled after its beginning count. */
export interface UnaffectedReport {
  readonly topics: number;
  /** Of deliveries. */
  readonly latency: LatencyByPhase;
  /** The longest time from sending a publication to its acknowledgement, in milliseconds. */
  readonly longestWaitMs: number;
  /** Publications that were refused, or whose outcome is unknown. */
  readonly failed: number;
}

export class UnaffectedTopics {
  readonly #latency = new Latency();
  #beganMs = Number.POSITIVE_INFINITY;
  #endedMs = Number.POSITIVE_INFINITY;
  #longestWaitMs = 0;
  #failed = 0;
  readonly #unserved: Set<VerifyTopic>;

  constructor(private readonly topics: ReadonlySet<VerifyTopic>) {
    this.#unserved = new Set(topics);
  }

  /** Those without an acknowledgement of a publication that was sent since the fault began. */
  get unserved(): ReadonlySet<VerifyTopic> {
    return this.#unserved;
  }

  get report(): UnaffectedReport {
    return {
      topics: this.topics.size,
      latency: this.#latency.summary(),
      longestWaitMs: this.#longestWaitMs,
      failed: this.#failed,
    };
  }

  faultBegins(): void {
    this.#beganMs = performance.now();
    this.#latency.faultBegins();
  }

  faultEnds(): void {
    this.#endedMs = performance.now();
    this.#latency.faultEnds();
  }

  /** A publication has arrived. */
  delivered(topic: VerifyTopic, plannedUs: number): void {
    if (this.topics.has(topic)) this.#latency.record(plannedUs);
  }

  /** A publication has an outcome. `sentMs`: by performance.now(). */
  settled(topic: VerifyTopic, outcome: Outcome, sentMs: number): void {
    const nowMs = performance.now();
    if (!this.topics.has(topic) || nowMs < this.#beganMs || sentMs > this.#endedMs) return;
    if (outcome === 'acknowledged' && sentMs >= this.#beganMs) this.#unserved.delete(topic);
    if (outcome === 'acknowledged') this.#longestWaitMs = Math.max(this.#longestWaitMs, nowMs - sentMs);
    else this.#failed++;
  }
}
