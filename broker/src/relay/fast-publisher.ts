/**
 * Publishes to topics without history: the runs of a turn leave as one PUBLISH for each topic, all in one pipeline. This node's own
 * subscribers get them first and do not depend on Redis.
 */
import { emptyRun, ReplyError, type Run, type Topic } from '@fanfare/protocol';
import { maxChannelsPerCommand, type RedisMessage } from '../redis/redis.js';
import { type Batch, runOverheadBytes } from './gathering.js';
import type { Keys } from './keys.js';
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

/** Most topics remembered whose subscribers on other nodes are owed a gap, about 100 bytes each. Of further ones they are not told. */
const maxOwedTopics = 100_000;

/** What became a message: whose subscribers elsewhere miss it if it fails, and who waits for its outcome. */
interface Sent {
  readonly topic: Topic;
  readonly receipts: readonly Receipt[];
}

export class FastPublisher {
  readonly #nodeId: Buffer;
  readonly #link: FastLink;
  readonly #keys: Keys;
  readonly #delivery: Delivery;
  readonly #counters: FastPublisherCounters;
  readonly #inFlight = new Set<Promise<void>>();
  /** Topics of publications that may not have reached the other nodes, which do not know that. */
  readonly #owedElsewhere = new Set<Topic>();
  #bytes = 0;

  constructor(nodeId: Buffer, link: FastLink, keys: Keys, delivery: Delivery, counters: FastPublisherCounters) {
    this.#nodeId = nodeId;
    this.#link = link;
    this.#keys = keys;
    this.#delivery = delivery;
    this.#counters = counters;
  }

  /** About the bytes that wait for Redis. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes the runs of a turn. */
  publish(batches: readonly Batch[]): void {
    const canRelay = this.#link.isReady;
    const messages: RedisMessage[] = [];
    const sent: Sent[] = [];
    for (const { topic, run, receipts } of batches) {
      if (canRelay) {
        messages.push(this.#messageOf(topic, run));
        sent.push({ topic, receipts });
      } else {
        this.#counters.publicationsUnrelayed += run.count;
        this.#fail({ topic, receipts });
      }
      this.#delivery.deliver(topic, null, run);
    }
    this.#send(messages, sent);
  }

  /** Resolves when all that was taken in has its outcome. */
  async settled(): Promise<void> {
    await Promise.all(this.#inFlight);
  }

  /** The other nodes can be reached again: has them tell of the publications that did not reach them. An empty run says that. */
  payElsewhere(): void {
    const topics = [...this.#owedElsewhere];
    this.#owedElsewhere.clear();
    for (let at = 0; at < topics.length; at += maxChannelsPerCommand) {
      const piece = topics.slice(at, at + maxChannelsPerCommand);
      this.#send(
        piece.map((topic) => this.#messageOf(topic, emptyRun)),
        piece.map((topic) => ({ topic, receipts: [] })),
      );
    }
  }

  /** Sends messages in one pipeline; `sent` says what stands at the same index. */
  #send(messages: readonly RedisMessage[], sent: readonly Sent[]): void {
    if (messages.length === 0) return;
    const bytes = messages.reduce((sum, { message }) => sum + message.length + runOverheadBytes, 0);
    this.#bytes += bytes;
    const sentAt = performance.now();
    const sending = this.#link.publish(messages).then((errors) => {
      this.#counters.observeRelaySeconds((performance.now() - sentAt) / 1_000);
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
    return { channel: this.#keys.topic(topic), message: encodeRedisMessage(this.#nodeId, run) };
  }

  #fail({ topic, receipts }: Sent): void {
    if (this.#owedElsewhere.size < maxOwedTopics) this.#owedElsewhere.add(topic);
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
