/**
 * Keeps the publications of a connection in order where one is refused: those that were under way behind it are refused too, until it
 * is published again (PROTOCOL.md 8.11). That is for topics with history, and for publications with a `messageId`: others could not be
 * known again, and pass.
 */
import { ReplyError, type Topic } from '@fanfare/protocol';

/** How long is waited for a publication that does not come again, in milliseconds: its client has given it up. */
const patienceMs = 2_000;

/** Refused publications that are remembered; the order of others is not kept. */
const maxRefused = 1_024;

interface Refused {
  /** Any of them may come next: a client may give up the first. */
  readonly messageIds: Set<string>;
  readonly untilMs: number;
}

/** Another publication to the topic comes first. */
export class OutOfTurnError extends ReplyError {
  constructor() {
    super(
      'unavailable',
      'An earlier publication to this topic was refused and comes first: publish that one again, and then this one. Nothing was delivered.',
    );
  }
}

/** All times are of performance.now(). */
export class Turns {
  /** In the order in which their patience ends. */
  readonly #refused = new Map<Topic, Refused>();
  #count = 0;

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** A publication was refused in a way that lets it be published again. */
  refused(topic: Topic, messageId: string, nowMs: number): void {
    this.forgetOld(nowMs);
    if (this.#count >= maxRefused) return;
    const refused = this.#refused.get(topic) ?? { messageIds: new Set(), untilMs: nowMs + patienceMs };
    this.#refused.set(topic, refused);
    if (refused.messageIds.has(messageId)) return;
    refused.messageIds.add(messageId);
    this.#count++;
  }

  /** Throws {@link OutOfTurnError}. */
  take(topic: Topic, messageId: string, nowMs: () => number): void {
    const refused = this.#refused.get(topic);
    if (refused === undefined) return;
    if (!refused.messageIds.has(messageId) && nowMs() < refused.untilMs) throw new OutOfTurnError();
    this.#forget(topic);
  }

  /** Gives up waiting where it has been long enough. */
  forgetOld(nowMs: number): void {
    for (const [topic, { untilMs }] of this.#refused) {
      if (untilMs > nowMs) return;
      this.#forget(topic);
    }
  }

  #forget(topic: Topic): void {
    this.#count -= this.#refused.get(topic)?.messageIds.size ?? 0;
    this.#refused.delete(topic);
  }
}
