/**
 * Publishes to topics without history. The runs of a turn are sent as one PUBLISH for each topic, all in one pipeline. This node's own
 * subscribers get them first, without Redis.
 */
import { emptyRun, ReplyError, type Run, type Topic } from '@fanfare/protocol';
import { maxChannelsPerCommand, type RedisMessage } from '../redis/redis.js';
import type { Keys } from './keys.js';
import { type Batch, runOverheadBytes } from './publish-batcher.js';
import { encodeRedisMessage } from './redis-message.js';
import type { Delivery, Receipt } from './relay.js';

/** The connection that publishes, as this file needs it. */
export interface FastLink {
  readonly isReady: boolean;
  publish(messages: readonly RedisMessage[]): Promise<readonly (Error | null)[]>;
}

export interface FastPublisherCounters {
  /** Publications that reached only this node's subscribers, because Redis could not be reached. */
  publicationsUnrelayed: number;
  observeRelaySeconds(seconds: number): void;
}

/** The maximum number of remembered topics whose subscribers on other nodes must get a gap, 100 bytes each. Others get none. */
const maxUnrelayedTopics = 100_000;

/** What was sent as one message: if it fails, subscribers on other nodes miss it, and the publishers are notified. */
interface Sent {
  readonly topic: Topic;
  readonly receipts: readonly Receipt[];
}

export class FastPublisher {
  readonly #inFlight = new Set<Promise<void>>();
  /** Topics of publications that may not have reached the other nodes, which do not know that. */
  readonly #unrelayedTopics = new Set<Topic>();
  #bytes = 0;

  constructor(
    private readonly nodeId: Buffer,
    private readonly link: FastLink,
    private readonly keys: Keys,
    private readonly delivery: Delivery,
    private readonly counters: FastPublisherCounters,
  ) {}

  /** The approximate number of bytes that wait for Redis. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Sends the runs of a turn, and delivers them here. */
  publish(batches: readonly Batch[]): void {
    const canRelay = this.link.isReady;
    const messages: RedisMessage[] = [];
    const sent: Sent[] = [];
    for (const { topic, run, receipts } of batches) {
      if (canRelay) {
        messages.push(this.#messageOf(topic, run));
        sent.push({ topic, receipts });
      } else {
        this.counters.publicationsUnrelayed += run.count;
        this.#fail({ topic, receipts });
      }
      this.delivery.deliver(topic, null, run);
    }
    this.#send(messages, sent);
  }

  /** Resolves when everything that was sent has its outcome. */
  async settled(): Promise<void> {
    await Promise.all(this.#inFlight);
  }

  /** The other nodes can be reached again. An empty run makes them notify their subscribers of a gap. */
  announceGaps(): void {
    const topics = [...this.#unrelayedTopics];
    this.#unrelayedTopics.clear();
    for (let at = 0; at < topics.length; at += maxChannelsPerCommand) {
      const piece = topics.slice(at, at + maxChannelsPerCommand);
      this.#send(
        piece.map((topic) => this.#messageOf(topic, emptyRun)),
        piece.map((topic) => ({ topic, receipts: [] })),
      );
    }
  }

  /** Sends messages in one pipeline; `sent` describes the message at the same index. */
  #send(messages: readonly RedisMessage[], sent: readonly Sent[]): void {
    if (messages.length === 0) return;
    const bytes = messages.reduce((sum, { message }) => sum + message.length + runOverheadBytes, 0);
    this.#bytes += bytes;
    const sentAt = performance.now();
    const sending = this.link.publish(messages).then((errors) => {
      this.counters.observeRelaySeconds((performance.now() - sentAt) / 1_000);
      this.#bytes -= bytes;
      this.#inFlight.delete(sending);
      for (const [index, batch] of sent.entries()) {
        if (errors[index] !== null) this.#fail(batch);
        else for (const receipt of batch.receipts) receipt.accepted(null);
      }
    });
    this.#inFlight.add(sending);
  }

  #messageOf(topic: Topic, run: Run): RedisMessage {
    return { channel: this.keys.topic(topic), message: encodeRedisMessage(this.nodeId, run) };
  }

  #fail({ topic, receipts }: Sent): void {
    if (this.#unrelayedTopics.size < maxUnrelayedTopics) this.#unrelayedTopics.add(topic);
    for (const receipt of receipts) {
      receipt.failed(
        new ReplyError(
          'unconfirmed',
          'The connection to Redis failed during the publish. The publication may or may not have been delivered.',
        ),
      );
    }
  }
}
