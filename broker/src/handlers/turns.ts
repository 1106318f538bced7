/**
 * Keeps the publications of a connection in order where one is refused: those that were under way behind it are refused too, until it
 * is published again (PROTOCOL.md 8.11). That is for topics with history, and for publications with a `messageId`: others could not be
 * known again, and pass.
 */
import { ReplyError, type Topic } from '@fanfare/protocol';

/**
 * A refused publication that was not sent again within this many looks has been given up by its client. There is one look a second
 * (connection/rounds.ts). Looks are counted, not time: if the node was blocked for seconds, later publications may have arrived meanwhile,
 * and must still wait.
 */
const patience = 3;

/** Refused publications that are remembered; the order of others is not kept. */
const maxRefused = 1_024;

interface Refused {
  /** Any of them may come next: a client may give up the first. */
  readonly messageIds: Set<string>;
  looks: number;
}

/** Another publication to the topic comes first. */
export class OutOfTurnError extends ReplyError {
  constructor() {
    super(
      'unavailable',
      'An earlier publication to this topic was refused. Retry that one first, then this one. Nothing was delivered.',
    );
  }
}

export class Turns {
  readonly #refused = new Map<Topic, Refused>();
  #count = 0;

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** A publication was refused in a way that lets it be published again. */
  refused(topic: Topic, messageId: string): void {
    if (this.#count >= maxRefused) return;
    const refused = this.#refused.get(topic) ?? { messageIds: new Set(), looks: 0 };
    this.#refused.set(topic, refused);
    if (refused.messageIds.has(messageId)) return;
    refused.messageIds.add(messageId);
    this.#count++;
  }

  /** Throws {@link OutOfTurnError}. */
  take(topic: Topic, messageId: string): void {
    const refused = this.#refused.get(topic);
    if (refused === undefined) return;
    if (!refused.messageIds.has(messageId)) throw new OutOfTurnError();
    this.#forget(topic);
  }

  /** Stops waiting for publications that were not sent again. To be called once a second. */
  look(): void {
    for (const [topic, refused] of this.#refused) {
      refused.looks++;
      if (refused.looks === patience) this.#forget(topic);
    }
  }

  #forget(topic: Topic): void {
    this.#count -= this.#refused.get(topic)?.messageIds.size ?? 0;
    this.#refused.delete(topic);
  }
}
