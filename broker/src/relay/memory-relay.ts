/** The relay of a single node: development, tests, and whoever needs no second node. Its histories live as long as it does. */
import type { Payload, Position, Topic } from '@fanfare/protocol';
import type { TopicPolicies, TopicPolicy } from '../topics/policy.js';
import { FlushWindow } from './flush-window.js';
import { type Batch, Gathering } from './gathering.js';
import { noHistory, noHistoryError, pageBackward, pageForward, standingOf } from './history.js';
import { IdMemory } from './id-memory.js';
import { Recent, RecentBudget } from './recent.js';
import type {
  Delivery,
  HistoryPage,
  HistoryRequest,
  Payer,
  PublishTracer,
  Receipt,
  Relay,
  RelayState,
  Standing,
} from './relay.js';
import type { ScopedId } from './scoped-id.js';
import { decodeEntry, encodeEntry } from './stream-entry.js';

export interface MemoryRelaySettings {
  readonly topics: TopicPolicies;
  readonly recentBytes: number;
  readonly idempotencyWindowSeconds: number;
  readonly flushWindowMs: number;
}

/** A topic's history. */
interface Kept {
  readonly epoch: string;
  head: number;
  readonly recent: Recent;
  readonly ids: IdMemory;
  subscribers: boolean;
  /** When it was last published to or subscribed, by performance.now(). */
  usedAt: number;
  readonly ageMs: number;
}

/** How often histories that are too old are looked for, in milliseconds. */
const sweepMs = 1_000;

export class MemoryRelay implements Relay {
  readonly #settings: MemoryRelaySettings;
  readonly #delivery: Delivery;
  readonly #tracer: PublishTracer | null;
  readonly #window: FlushWindow;
  readonly #gathering: Gathering;
  readonly #budget: RecentBudget;
  readonly #kept = new Map<Topic, Kept>();
  readonly #sweep: NodeJS.Timeout;
  #lastEpoch = 0;
  state: RelayState = 'connected';
  readonly fault = null;
  readonly nodes = 1;
  readonly spread = null;
  readonly redisOutputBufferBytes = 0;

  constructor(settings: MemoryRelaySettings, delivery: Delivery, tracer: PublishTracer | null = null) {
    this.#settings = settings;
    this.#delivery = delivery;
    this.#tracer = tracer;
    this.#window = new FlushWindow(settings.flushWindowMs);
    this.#gathering = new Gathering(this.#window, (batches) => this.#deliver(batches), tracer !== null);
    this.#budget = new RecentBudget(settings.recentBytes);
    this.#sweep = setInterval(() => this.#forgetOld(), sweepMs);
    this.#sweep.unref();
  }

  get flushWindowMs(): number {
    return this.#window.ms;
  }

  hasHistory(topic: Topic): boolean {
    return this.#settings.topics.of(topic).level !== 'fast';
  }

  hasPublished(topic: Topic): boolean {
    const kept = this.#kept.get(topic);
    return kept !== undefined && kept.head > 0;
  }

  publish(
    topic: Topic,
    payload: Payload,
    id: ScopedId | null,
    receipt: Receipt | null,
    payer: Payer | null = null,
  ): void {
    this.#gathering.add(topic, payload, id, receipt, payer);
  }

  async subscribe(topic: Topic, _since: Position | null): Promise<void> {
    const policy = this.#settings.topics.of(topic);
    if (policy.level !== 'fast') this.#keep(topic, policy).subscribers = true;
  }

  standing(topic: Topic, since: Position | null): Standing {
    const policy = this.#settings.topics.of(topic);
    if (policy.level === 'fast') return noHistory;
    const { recent, epoch, head } = this.#keep(topic, policy);
    return standingOf(recent, { epoch, offset: head }, since, policy);
  }

  unsubscribe(topic: Topic): void {
    const kept = this.#kept.get(topic);
    if (kept === undefined) return;
    kept.subscribers = false;
    kept.usedAt = performance.now();
  }

  async history(topic: Topic, request: HistoryRequest): Promise<HistoryPage> {
    const policy = this.#settings.topics.of(topic);
    if (policy.level === 'fast') throw noHistoryError(topic);
    const { recent, epoch, head } = this.#keep(topic, policy);
    const page = request.direction === 'forward' ? pageForward : pageBackward;
    return page({ epoch, offset: head }, recent.entries, request);
  }

  async flush(): Promise<void> {
    this.#gathering.flush();
  }

  async retire(): Promise<void> {
    // There is no other node.
  }

  async close(): Promise<void> {
    await this.flush();
    clearInterval(this.#sweep);
    this.#window.close();
    this.state = 'closed';
  }

  #deliver(batches: readonly Batch[]): void {
    for (const batch of batches) {
      const policy = this.#settings.topics.of(batch.topic);
      if (policy.level === 'fast') {
        this.#delivery.deliver(batch.topic, null, batch.run);
        for (const receipt of batch.receipts) receipt.accepted(null);
      } else this.#append(batch, this.#keep(batch.topic, policy));
    }
  }

  #append(batch: Batch, kept: Kept): void {
    const { topic, receipts, places, beganAt } = batch;
    const before = new Map<number, number>();
    for (const [id, place] of batch.messageIds) {
      const offset = kept.ids.offsetOf(id);
      if (offset !== undefined) before.set(place, offset);
    }
    const { run, messageIds } = before.size === 0 ? batch : batch.without(before);
    const first = kept.head + 1;
    const entry = decodeEntry({ epoch: kept.epoch, offset: first }, encodeEntry(run, messageIds));
    if (entry !== null) {
      kept.head = entry.last;
      kept.usedAt = performance.now();
      for (const [id, place] of messageIds) kept.ids.add(id, first + place);
      kept.recent.append(entry);
      if (first === 1) batch.payer?.onTopicBegun();
      this.#delivery.deliver(topic, { epoch: kept.epoch, offset: first }, entry.run);
    }
    let gone = 0;
    for (const [index, receipt] of receipts.entries()) {
      const place = places[index] as number;
      const known = before.get(place);
      if (known !== undefined) gone++;
      receipt.accepted({ epoch: kept.epoch, offset: known ?? first + place - gone });
    }
    if (this.#tracer !== null && entry !== null) {
      const position = { epoch: kept.epoch, offset: first };
      this.#tracer.published({ topic, position, count: run.count, beganAt, redis: null });
    }
  }

  #keep(topic: Topic, { historySize, historyAgeSeconds }: TopicPolicy): Kept {
    let kept = this.#kept.get(topic);
    if (kept === undefined) {
      kept = {
        epoch: this.#newEpoch(),
        head: 0,
        recent: new Recent(this.#budget, historySize),
        ids: new IdMemory(this.#settings.idempotencyWindowSeconds * 1_000),
        subscribers: false,
        usedAt: performance.now(),
        ageMs: historyAgeSeconds * 1_000,
      };
      this.#kept.set(topic, kept);
    }
    return kept;
  }

  /** As Redis makes them (lua/stream.lua): microseconds, so that a node that is started again begins other ones. */
  #newEpoch(): string {
    this.#lastEpoch = Math.max(this.#lastEpoch + 1, Date.now() * 1_000);
    return String(this.#lastEpoch);
  }

  #forgetOld(): void {
    const now = performance.now();
    for (const [topic, kept] of this.#kept) {
      if (kept.subscribers || now - kept.usedAt < kept.ageMs) continue;
      kept.recent.clear();
      this.#kept.delete(topic);
    }
  }
}
