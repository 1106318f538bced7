/**
 * Collects the publications of one event-loop turn, or of a few milliseconds under load, by topic. They then cost one
 * Redis command and one frame for each topic, not for each publication.
 */
import {
  emptyRun,
  forEachItem,
  type KeyedPayload,
  maxItemBytes,
  maxRunBytes,
  type Run,
  type Topic,
  Writer,
  writeItem,
} from '@fanfare/protocol';
import { defaultPolicy, type TopicPolicy } from '../topics/policy.js';
import type { FlushWindow } from './flush-window.js';
import type { Payer, Receipt } from './relay.js';
import type { ByteMeter } from './relay-share.js';

/** One run of a topic, and the publishers that wait for its outcome. */
export interface Batch {
  readonly topic: Topic;
  readonly policy: TopicPolicy;
  /** Valid until the flush returns. */
  readonly run: Run;
  /** The receipts of the acknowledged publications of the run, in order. */
  readonly receipts: readonly Receipt[];
  /** For each receipt, the place of its publication in the run, counted from 0. */
  readonly places: readonly number[];
  /** The messageIds of the run with their places, in order. */
  readonly messageIds: ReadonlyMap<string, number>;
  /** The payer of its first publication. Only that publication can begin a history. */
  readonly payer: Payer | null;
  /** When its first publication arrived, by performance.now(); 0 if publications are not traced. */
  readonly beganAt: number;
  /** A copy of the run and its messageIds without the publications at some places. */
  without(places: { has(place: number): boolean }): Pick<Batch, 'run' | 'messageIds'>;
}

/**
 * The approximate memory of a waiting run in addition to its publications, in bytes: buffers, and its future command to
 * Redis.
 */
export const runOverheadBytes = 1_536;

/** Maximum number of messageIds in one run. Lua accepts only some thousand arguments at once. */
const maxMessageIds = 512;

/**
 * Limits of the buffers kept for the next turn: a turn with exceptionally many or long runs must not hold memory for
 * good.
 */
const keptBatches = 1024;
const keptBatchBytes = 16_384;

const noReceipts: Receipt[] = [];
const noPlaces: number[] = [];
const noIds = new Map<string, number>();
const noBatches: OpenBatch[] = [];

export class PublishBatcher {
  /**
   * The last batch of each topic. It may be closed, or even used for another topic: clearing this map each turn would
   * cost more than a check.
   */
  readonly #lastOf = new Map<Topic, OpenBatch>();
  /** The open batches, in the order in which they began. */
  #batches: OpenBatch[] = noBatches;
  readonly #spare: OpenBatch[] = [];
  /** The approximate bytes of memory that wait for the flush. */
  #bytes = 0;

  /**
   * `waiting` counts what waits for the flush. `onFlush` gets all batches together, outside any WebSocket handler; runs of
   * one topic in order.
   */
  constructor(
    private readonly window: FlushWindow,
    private readonly waiting: ByteMeter,
    private readonly onFlush: (batches: readonly Batch[]) => void,
    private readonly isTraced = false,
  ) {}

  /** Copies the payload. `messageId`: with its scope (scoped-id.ts), as in all later steps. */
  add(
    topic: Topic,
    policy: TopicPolicy,
    payload: KeyedPayload,
    messageId: string | null,
    receipt: Receipt | null,
    payer: Payer | null = null,
  ): void {
    const size = maxItemBytes(payload);
    let batch = this.#lastOf.get(topic);
    if (
      batch === undefined ||
      !batch.isOpenFor(topic) ||
      batch.writer.length + size > maxRunBytes ||
      !batch.takes(messageId)
    ) {
      batch = this.#begin(topic, policy);
      batch.payer = payer;
    }
    writeItem(batch.writer, payload);
    if (payload.key !== null) batch.hasKeys = true;
    batch.count(messageId, receipt);
    this.#count(size);
  }

  readonly #flush = (): void => this.flush();

  /** Hands out all batches now. */
  flush(): void {
    const batches = this.#batches;
    if (batches.length === 0) return;
    this.#batches = noBatches;
    if (this.#lastOf.size > keptBatches) this.#lastOf.clear();
    this.#count(-this.#bytes);
    for (const batch of batches) batch.end();
    this.onFlush(batches);
    for (const batch of batches) {
      // Receipts keep connections in memory, so a spare batch must not keep receipts.
      batch.forget();
      if (this.#spare.length < keptBatches && batch.writer.length <= keptBatchBytes) this.#spare.push(batch);
      else this.#lastOf.delete(batch.topic);
    }
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.waiting.bytes += bytes;
  }

  #begin(topic: Topic, policy: TopicPolicy): OpenBatch {
    const batch = this.#spare.pop() ?? new OpenBatch();
    batch.begin(topic, policy);
    if (this.isTraced) batch.beganAt = performance.now();
    if (this.#batches.length === 0) {
      this.#batches = [batch];
      this.window.plan(this.#flush);
    } else this.#batches.push(batch);
    this.#count(runOverheadBytes);
    this.#lastOf.set(topic, batch);
    return batch;
  }
}

class OpenBatch implements Batch {
  topic = '' as Topic;
  policy = defaultPolicy;
  beganAt = 0;
  payer: Payer | null = null;
  hasKeys = false;
  // A publisher may keep these three objects. Most batches need none of them, and share empty ones, which nobody
  // changes.
  receipts = noReceipts;
  places = noPlaces;
  messageIds = noIds;
  readonly writer = new Writer(1024);
  /** Set by {@link end}. */
  run = emptyRun;
  #count = 0;
  #isOpen = false;

  begin(topic: Topic, policy: TopicPolicy): void {
    this.topic = topic;
    this.policy = policy;
    this.#count = 0;
    this.#isOpen = true;
    this.hasKeys = false;
    this.writer.clear();
  }

  isOpenFor(topic: Topic): boolean {
    return this.#isOpen && this.topic === topic;
  }

  /** Another publication is in {@link writer}. */
  count(messageId: string | null, receipt: Receipt | null): void {
    if (messageId !== null) {
      if (this.messageIds === noIds) this.messageIds = new Map();
      this.messageIds.set(messageId, this.#count);
    }
    if (receipt !== null) {
      if (this.receipts === noReceipts) {
        this.receipts = [];
        this.places = [];
      }
      this.receipts.push(receipt);
      this.places.push(this.#count);
    }
    this.#count++;
  }

  end(): void {
    this.#isOpen = false;
    this.run = { count: this.#count, bytes: this.writer.view(), hasKeys: this.hasKeys };
  }

  forget(): void {
    this.payer = null;
    this.receipts = noReceipts;
    this.places = noPlaces;
    this.messageIds = noIds;
  }

  /** A repeated messageId begins a new run, so that the second publication is found in the history. */
  takes(messageId: string | null): boolean {
    return messageId === null || (this.messageIds.size < maxMessageIds && !this.messageIds.has(messageId));
  }

  without(places: { has(place: number): boolean }): Pick<Batch, 'run' | 'messageIds'> {
    const writer = new Writer();
    let place = 0;
    let count = 0;
    const moved: number[] = [];
    forEachItem(this.run, (payload) => {
      moved.push(count);
      if (!places.has(place++)) {
        writeItem(writer, payload);
        count++;
      }
    });
    const left = [...this.messageIds].filter(([, at]) => !places.has(at));
    return {
      run: { count, bytes: writer.toBytes(), hasKeys: this.hasKeys },
      messageIds: new Map(left.map(([id, at]) => [id, moved[at] as number])),
    };
  }
}
