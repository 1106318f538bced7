/**
 * Gathers the publications of one event-loop turn by topic, so that a turn costs one Redis command and one frame for each
 * topic, not for each publication.
 */
import {
  maxItemHeaderBytes,
  maxRunBytes,
  type Payload,
  type Run,
  type Topic,
  Writer,
  writeItem,
} from '@fanfare/protocol';
import type { Receipt } from './relay.js';

/** One run of a topic and who waits for its outcome. */
export interface Batch {
  readonly topic: Topic;
  /** Valid until the flush returns. */
  readonly run: Run;
  /** The acknowledged publications of the run, in order. */
  readonly receipts: readonly Receipt[];
}

/** About what a run takes besides its publications, while it waits: buffers, and the command to Redis that it becomes. */
export const runOverheadBytes = 1_536;

/** Buffers kept for the next turn: not those of a turn that was exceptionally wide, nor any that grew exceptionally long. */
const keptBatches = 1024;
const keptBatchBytes = 16_384;

export class Gathering {
  readonly #flush: (batches: readonly Batch[]) => void;
  readonly #open = new Map<Topic, OpenBatch>();
  /** All batches of the turn, in the order in which they began. */
  #batches: OpenBatch[] = [];
  readonly #spare: OpenBatch[] = [];
  #bytes = 0;

  /** `flush` gets all batches of a turn, at its end and outside any WebSocket handler; runs of one topic in order. */
  constructor(flush: (batches: readonly Batch[]) => void) {
    this.#flush = flush;
  }

  /** About the bytes of memory that wait for the end of the turn. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Copies the payload. */
  add(topic: Topic, payload: Payload, receipt: Receipt | null): void {
    const size = payload.end - payload.start + maxItemHeaderBytes;
    let batch = this.#open.get(topic);
    if (batch === undefined || batch.writer.length + size > maxRunBytes) batch = this.#begin(topic);
    writeItem(batch.writer, payload);
    batch.count++;
    if (receipt !== null) batch.receipts.push(receipt);
    this.#bytes += size;
  }

  /** Ends the turn now. */
  flush(): void {
    const batches = this.#batches;
    if (batches.length === 0) return;
    this.#batches = [];
    this.#open.clear();
    this.#bytes = 0;
    this.#flush(batches);
    for (const batch of batches) {
      // Receipts hold connections: a spare batch must not.
      batch.receipts = [];
      if (this.#spare.length < keptBatches && batch.writer.length <= keptBatchBytes) this.#spare.push(batch);
    }
  }

  #begin(topic: Topic): OpenBatch {
    const batch = this.#spare.pop() ?? new OpenBatch();
    batch.begin(topic);
    if (this.#batches.length === 0) setImmediate(() => this.flush());
    this.#batches.push(batch);
    this.#bytes += runOverheadBytes;
    this.#open.set(topic, batch);
    return batch;
  }
}

class OpenBatch implements Batch {
  topic = '' as Topic;
  count = 0;
  receipts: Receipt[] = [];
  readonly writer = new Writer(1024);

  begin(topic: Topic): void {
    this.topic = topic;
    this.count = 0;
    this.writer.clear();
  }

  get run(): Run {
    return { count: this.count, bytes: this.writer.view() };
  }
}
