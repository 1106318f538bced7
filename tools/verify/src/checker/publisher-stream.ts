/** A stream: publications of one topic that one client publishes in order, and the ledger of their outcomes. */
import { type Acknowledgement, FanfareError } from '@fanfare/client';
import { type Numbered, numbered, type VerifyTopic } from './numbered.js';
import { PublishLedger } from './publish-ledger.js';
import type { TopicOrder } from './topic-order.js';
import type { Outcome } from './unaffected-topics.js';

/** The part of a client that a stream needs. Its errors are {@link PublishRejection} or those of the typed client. */
export interface StreamPublisher {
  publish(topic: VerifyTopic, data: Numbered): Promise<Acknowledgement>;
}

/** A publish has failed for good. */
export class PublishRejection extends Error {
  override readonly name = 'PublishRejection';

  constructor(
    readonly code: string,
    readonly maybeDelivered: boolean,
  ) {
    super(code);
  }
}

interface StreamSettings {
  /** Unique in a run. */
  readonly id: number;
  readonly topic: VerifyTopic;
  readonly publisher: StreamPublisher;
  readonly order: TopicOrder;
  readonly filler: string;
  /** The maximum number of unanswered publications. Publications beyond it are only counted. */
  readonly maxPending: number;
  /** Called with the outcome of each publication, and when it was sent, by performance.now(). */
  readonly onSettled: (topic: VerifyTopic, outcome: Outcome, sentMs: number) => void;
}

export class PublisherStream {
  readonly id: number;
  readonly topic: VerifyTopic;
  readonly order: TopicOrder;
  readonly ledger = new PublishLedger();
  /** Publications that were due but not sent, because too many had no reply yet. */
  heldBack = 0;
  /** Publications that were acknowledged at a position at which a subscriber saw another publication. */
  disagreements = 0;
  /** The number of rejected publishes by error code. */
  readonly rejections = new Map<string, number>();

  constructor(private readonly settings: StreamSettings) {
    this.id = settings.id;
    this.topic = settings.topic;
    this.order = settings.order;
  }

  publish(plannedUs: number): void {
    const { id, topic, publisher, filler, maxPending, onSettled } = this.settings;
    if (this.ledger.pending >= maxPending) {
      this.heldBack++;
      return;
    }
    const n = this.ledger.publish();
    const sentMs = performance.now();
    publisher.publish(topic, numbered(id, n, plannedUs, filler)).then(
      ({ position }) => {
        this.ledger.acknowledge(n);
        if (position !== null && this.order.note(position, id, n) === 'disagreed') this.disagreements++;
        onSettled(topic, 'acknowledged', sentMs);
      },
      (error: unknown) => onSettled(topic, this.#reject(n, error), sentMs),
    );
  }

  #reject(n: number, error: unknown): Outcome {
    const isKnown = error instanceof FanfareError || error instanceof PublishRejection;
    const code = isKnown ? error.code : String(error);
    this.rejections.set(code, (this.rejections.get(code) ?? 0) + 1);
    if (isKnown && !error.maybeDelivered) {
      this.ledger.refuse(n);
      return 'refused';
    }
    this.ledger.doubt(n);
    return 'unknown';
  }
}
