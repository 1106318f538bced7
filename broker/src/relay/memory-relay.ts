/**
 * The relay of a single node: for development, tests, and deployments of one node. Its histories live as long as the
 * process.
 */
import { type KeyedPayload, type Position, parseTopic, type Topic } from '@fanfare/protocol';
import type { TopicPolicies, TopicPolicy } from '../topics/policy.js';
import { FlushWindow } from './flush-window.js';
import { noHistory, noHistoryError, pageBackward, pageForward, subscribeResultOf } from './history.js';
import { IdMemory } from './id-memory.js';
import { type Batch, PublishBatcher } from './publish-batcher.js';
import type {
  HistoryPage,
  HistoryRequest,
  LocalSubscribers,
  Payer,
  PublishTracer,
  Receipt,
  Relay,
  RelayState,
  SubscribeResult,
  TopicInfo,
  TopicsPage,
  TopicsRequest,
} from './relay.js';
import type { ScopedId } from './scoped-id.js';
import { decodeEntry, encodeEntry } from './stream-entry.js';
import { CacheBudget, TopicCache } from './topic-cache.js';
import { unknownCursor } from './topic-list.js';

interface MemoryRelaySettings {
  readonly topics: TopicPolicies;
  readonly recentBytes: number;
  readonly idempotencyWindowSeconds: number;
  readonly flushWindowMs: number;
}

/** A topic's history. */
interface History {
  readonly epoch: string;
  head: number;
  readonly cache: TopicCache;
  readonly ids: IdMemory;
  hasSubscribers: boolean;
  /** When it was last published or subscribed to, by performance.now(). */
  usedAt: number;
  readonly ageMs: number;
}

/** How often histories that are too old are removed, in milliseconds. */
const sweepMs = 1_000;

export class MemoryRelay implements Relay {
  readonly #window: FlushWindow;
  readonly #batcher: PublishBatcher;
  readonly #budget: CacheBudget;
  readonly #histories = new Map<Topic, History>();
  /** Receipts of fast publications of this turn. */
  #accepted: Receipt[] = [];
  readonly #sweep: NodeJS.Timeout;
  #lastEpoch = 0;
  state: RelayState = 'connected';
  readonly fault = null;
  readonly nodes = 1;
  readonly spread = null;
  readonly redisOutputBufferBytes = 0;
  readonly shards = [];

  constructor(
    private readonly settings: MemoryRelaySettings,
    private readonly delivery: LocalSubscribers,
    private readonly tracer: PublishTracer | null = null,
  ) {
    this.#window = new FlushWindow(settings.flushWindowMs);
    this.#batcher = new PublishBatcher(
      this.#window,
      { bytes: 0 },
      (batches) => this.#deliver(batches),
      tracer !== null,
    );
    this.#budget = new CacheBudget(settings.recentBytes);
    this.#sweep = setInterval(() => this.#forgetOld(), sweepMs);
    this.#sweep.unref();
  }

  get flushWindowMs(): number {
    return this.#window.ms;
  }

  hasHistory(topic: Topic): boolean {
    return this.settings.topics.of(topic).level !== 'fast';
  }

  hasPublished(topic: Topic): boolean {
    const history = this.#histories.get(topic);
    return history !== undefined && history.head > 0;
  }

  publish(
    topic: Topic,
    payload: KeyedPayload,
    id: ScopedId | null,
    receipt: Receipt | null,
    payer: Payer | null = null,
  ): void {
    const policy = this.settings.topics.of(topic);
    const isFast = policy.level === 'fast';
    this.#batcher.add(topic, policy, payload, id, isFast ? null : receipt, payer);
    if (isFast && receipt !== null) this.#acceptSoon(receipt);
  }

  async subscribe(topic: Topic, _since: Position | null): Promise<void> {
    const policy = this.settings.topics.of(topic);
    if (policy.level !== 'fast') this.#historyOf(topic, policy).hasSubscribers = true;
  }

  subscribeResult(topic: Topic, since: Position | null): SubscribeResult {
    const policy = this.settings.topics.of(topic);
    if (policy.level === 'fast') return noHistory;
    const { cache, epoch, head } = this.#historyOf(topic, policy);
    return subscribeResultOf(cache, { epoch, offset: head }, since, policy);
  }

  unsubscribe(topic: Topic): void {
    const history = this.#histories.get(topic);
    if (history === undefined) return;
    history.hasSubscribers = false;
    history.usedAt = performance.now();
  }

  async history(topic: Topic, request: HistoryRequest): Promise<HistoryPage> {
    const policy = this.settings.topics.of(topic);
    if (policy.level === 'fast') throw noHistoryError(topic);
    const { cache, epoch, head } = this.#historyOf(topic, policy);
    const page = request.direction === 'forward' ? pageForward : pageBackward;
    return page({ epoch, offset: head }, cache.entries, request);
  }

  async topicInfo(topic: Topic): Promise<TopicInfo> {
    const history = this.#histories.get(topic);
    return {
      level: this.settings.topics.of(topic).level,
      position: history === undefined ? null : { epoch: history.epoch, offset: history.head },
      subscribers: { count: this.delivery.subscribersOf(topic), nodes: { asked: 1, answered: 1 } },
    };
  }

  async topics({ prefix, cursor, limit }: TopicsRequest): Promise<TopicsPage> {
    if (cursor !== null && parseTopic(cursor) === null) throw unknownCursor();
    const following = [...this.#histories.keys()]
      .filter((topic) => topic.startsWith(prefix) && (cursor === null || topic > cursor))
      .toSorted();
    const topics = following.slice(0, limit);
    return { topics, next: following.length > limit ? (topics.at(-1) ?? null) : null };
  }

  async flush(): Promise<void> {
    this.#batcher.flush();
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

  /**
   * Nothing can go wrong with a fast publication any more, and it has no position to wait for. So its publisher need not
   * wait for the flush window.
   */
  #acceptSoon(receipt: Receipt): void {
    if (this.#accepted.length === 0) queueMicrotask(this.#reportAccepted);
    this.#accepted.push(receipt);
  }

  readonly #reportAccepted = (): void => {
    const accepted = this.#accepted;
    this.#accepted = [];
    for (const receipt of accepted) receipt.accepted(null, false);
  };

  #deliver(batches: readonly Batch[]): void {
    for (const batch of batches) {
      if (batch.policy.level === 'fast') {
        this.delivery.deliver(batch.topic, null, batch.run);
      } else this.#append(batch, this.#historyOf(batch.topic, batch.policy));
    }
  }

  #append(batch: Batch, history: History): void {
    const { topic, receipts, places, beganAt } = batch;
    const before = new Map<number, number>();
    for (const [id, place] of batch.messageIds) {
      const offset = history.ids.offsetOf(id);
      if (offset !== undefined) before.set(place, offset);
    }
    const { run, messageIds } = before.size === 0 ? batch : batch.without(before);
    const first = history.head + 1;
    const entry = decodeEntry({ epoch: history.epoch, offset: first }, encodeEntry(run, messageIds));
    if (entry !== null) {
      history.head = entry.last;
      history.usedAt = performance.now();
      for (const [id, place] of messageIds) history.ids.add(id, first + place);
      history.cache.append(entry);
      if (first === 1) batch.payer?.onTopicBegun();
      this.delivery.deliver(topic, { epoch: history.epoch, offset: first }, entry.run);
    }
    let gone = 0;
    for (const [index, receipt] of receipts.entries()) {
      const place = places[index] as number;
      const known = before.get(place);
      if (known !== undefined) gone++;
      receipt.accepted({ epoch: history.epoch, offset: known ?? first + place - gone }, known !== undefined);
    }
    if (this.tracer !== null && entry !== null) {
      const position = { epoch: history.epoch, offset: first };
      this.tracer.published({ topic, position, count: run.count, beganAt, redis: null });
    }
  }

  #historyOf(topic: Topic, { historySize, historyAgeSeconds }: TopicPolicy): History {
    let history = this.#histories.get(topic);
    if (history === undefined) {
      history = {
        epoch: this.#newEpoch(),
        head: 0,
        cache: new TopicCache(this.#budget, historySize),
        ids: new IdMemory(this.settings.idempotencyWindowSeconds * 1_000),
        hasSubscribers: false,
        usedAt: performance.now(),
        ageMs: historyAgeSeconds * 1_000,
      };
      this.#histories.set(topic, history);
    }
    return history;
  }

  /** Microseconds, as in Redis (lua/stream.lua), so that a restarted node begins other epochs. */
  #newEpoch(): string {
    this.#lastEpoch = Math.max(this.#lastEpoch + 1, Date.now() * 1_000);
    return String(this.#lastEpoch);
  }

  #forgetOld(): void {
    const now = performance.now();
    for (const [topic, history] of this.#histories) {
      if (history.hasSubscribers || now - history.usedAt < history.ageMs) continue;
      history.cache.clear();
      this.#histories.delete(topic);
    }
  }
}
