/**
 * Keeps the publications of a connection in order if one is refused. Later ones to the topic are refused too, until the
 * first is published again (PROTOCOL.md 8.11). It needs a topic with history and a `messageId`: other publications
 * cannot be retried safely.
 */
import { ReplyError, type Topic } from '@fanfare/protocol';

/**
 * The client has given up a refused publication if it was not retried within this many ticks. There is one tick a
 * second (connection/connection-sweep.ts). Ticks are counted instead of time: if the node was blocked for seconds,
 * later publications may already have arrived, and must still wait.
 */
const maxTicks = 3;

/**
 * The maximum number of refused publications that are remembered for a connection. Other publications may lose their
 * order.
 */
const maxRefused = 1_024;

interface RefusedPublications {
  /** Any of them may be retried first: a client may give up the others. */
  readonly messageIds: Set<string>;
  ticks: number;
}

/** Another publication to the topic has to be retried first. */
export class OutOfTurnError extends ReplyError {
  constructor() {
    super(
      'unavailable',
      'An earlier publication to this topic was refused. Retry that one first, then this one. Nothing was delivered.',
    );
  }
}

export class PublishOrder {
  readonly #refused = new Map<Topic, RefusedPublications>();
  #count = 0;

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** A publication was refused and may be retried. */
  expectRetry(topic: Topic, messageId: string): void {
    if (this.#count >= maxRefused) return;
    const refused = this.#refused.get(topic) ?? { messageIds: new Set(), ticks: 0 };
    this.#refused.set(topic, refused);
    if (refused.messageIds.has(messageId)) return;
    refused.messageIds.add(messageId);
    this.#count++;
  }

  /** Throws {@link OutOfTurnError} if another publication to the topic has to be retried first. */
  check(topic: Topic, messageId: string): void {
    const refused = this.#refused.get(topic);
    if (refused === undefined) return;
    if (!refused.messageIds.has(messageId)) throw new OutOfTurnError();
    this.#forget(topic);
  }

  /** Stops waiting for publications that were not retried in time. Call this once a second. */
  tick(): void {
    for (const [topic, refused] of this.#refused) {
      refused.ticks++;
      if (refused.ticks === maxTicks) this.#forget(topic);
    }
  }

  #forget(topic: Topic): void {
    this.#count -= this.#refused.get(topic)?.messageIds.size ?? 0;
    this.#refused.delete(topic);
  }
}
