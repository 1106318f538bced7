/**
 * Publications to the topics of a partition while it changes over to another shard. They wait here for a moment, and are
 * published there in the order in which they arrived. If it takes too long, they are refused.
 */
import { type KeyedPayload, maxItemBytes, ReplyError, type Topic } from '@fanfare/protocol';
import type { Payer, Receipt } from './relay.js';
import type { SharedBytes } from './relay-share.js';
import type { ScopedId } from './scoped-id.js';

interface Held {
  readonly topic: Topic;
  readonly payload: KeyedPayload;
  readonly id: ScopedId | null;
  readonly receipt: Receipt | null;
  readonly payer: Payer | null;
  readonly bytes: number;
}

export interface HeldCounters {
  publicationsUnrelayed: number;
  publicationsOverloaded: number;
}

/** How long publications wait, in milliseconds. */
const maxHeldMs = 1_000;

export class HeldPublications {
  /** Resolves when they wait no longer: they were released, or are refused. */
  readonly over: Promise<void>;
  #end: () => void = () => undefined;
  /** In order; null if they are refused. */
  #held: Held[] | null = [];
  readonly #timer: NodeJS.Timeout;

  constructor(
    private readonly waiting: Pick<SharedBytes, 'bytes' | 'hasRoom'>,
    private readonly counters: HeldCounters,
    /** A publication that nobody waits for is refused. */
    private readonly onLost: (topic: Topic) => void,
  ) {
    this.over = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#timer = setTimeout(() => this.refuse(), maxHeldMs);
  }

  /** Copies the payload. Throws ReplyError `overloaded`, or `unavailable` if publications are refused. */
  add(topic: Topic, payload: KeyedPayload, id: ScopedId | null, receipt: Receipt | null, payer: Payer | null): void {
    if (this.#held === null) {
      if (receipt !== null) throw unavailable();
      return this.#lose(topic);
    }
    const bytes = maxItemBytes(payload);
    if (!this.waiting.hasRoom(bytes)) {
      this.counters.publicationsOverloaded++;
      throw new ReplyError(
        'overloaded',
        'Too many publications are queued for Redis. Nothing was delivered. Publish more slowly.',
      );
    }
    this.waiting.bytes += bytes;
    const copy = Buffer.from(payload.bytes.subarray(payload.start, payload.end));
    this.#held.push({
      topic,
      payload: { ...payload, bytes: copy, start: 0, end: copy.length },
      id,
      receipt,
      payer,
      bytes,
    });
  }

  /** Hands all to `publish`, in order. It may throw ReplyError. */
  release(publish: (...held: [Topic, KeyedPayload, ScopedId | null, Receipt | null, Payer | null]) => void): void {
    for (const { topic, payload, id, receipt, payer } of this.#take()) {
      try {
        publish(topic, payload, id, receipt, payer);
      } catch (error) {
        if (!(error instanceof ReplyError)) throw error;
        if (receipt === null) this.#lose(topic);
        else receipt.failed(error);
      }
    }
  }

  /** Refuses all, and all that follow. */
  refuse(): void {
    for (const { topic, receipt } of this.#take()) {
      if (receipt === null) this.#lose(topic);
      else receipt.failed(unavailable());
    }
  }

  #lose(topic: Topic): void {
    this.counters.publicationsUnrelayed++;
    this.onLost(topic);
  }

  #take(): readonly Held[] {
    clearTimeout(this.#timer);
    const held = this.#held ?? [];
    this.#held = null;
    for (const { bytes } of held) this.waiting.bytes -= bytes;
    this.#end();
    return held;
  }
}

function unavailable(): ReplyError {
  return new ReplyError(
    'unavailable',
    'The topic moves to another Redis, and this takes longer than usual. Nothing was delivered. Retry.',
  );
}
