/**
 * The relay of many nodes, at level `fast`: publications of a turn leave as one PUBLISH for each topic, all in one pipeline; this
 * node's own subscribers get them first and do not depend on Redis.
 */
import { randomBytes } from 'node:crypto';
import {
  LayoutError,
  maxItemHeaderBytes,
  type Payload,
  type Position,
  ReplyError,
  type Topic,
} from '@fanfare/protocol';
import type { Log } from '../log.js';
import {
  type LinkEvents,
  maxChannelsPerCommand,
  PublisherLink,
  type RedisCounters,
  type RedisMessage,
  type RedisSettings,
  SubscriberLink,
} from '../redis.js';
import { type Batch, Gathering } from './gathering.js';
import { Interest } from './interest.js';
import { Keys } from './keys.js';
import { decodeRedisMessage, encodeRedisMessage, nodeIdBytes } from './redis-message.js';
import type { Delivery, Receipt, Relay, RelayState } from './relay.js';

export interface RedisRelaySettings extends RedisSettings {
  readonly redisPrefix: string;
  readonly unsubscribeLingerMs: number;
  /** Bytes of publications that may wait for Redis. Beyond it publishes are answered `overloaded`. */
  readonly maxRelayBytes: number;
}

export interface RedisRelayCounters extends RedisCounters {
  /** Publications that reached only this node's subscribers, because Redis could not be reached. */
  publicationsUnrelayed: number;
  /** Publications refused because too much waited for Redis. */
  publicationsOverloaded: number;
  /** Redis messages of other nodes with a topic nobody here wants. */
  redisMessagesUnwanted: number;
  redisMessagesReceived: number;
  /** Redis messages that could not be read. */
  redisMessagesUnreadable: number;
  gapsTold: number;
  observeRelaySeconds(seconds: number): void;
}

export class RedisRelay implements Relay {
  readonly #settings: RedisRelaySettings;
  readonly #delivery: Delivery;
  readonly #counters: RedisRelayCounters;
  readonly #log: Log;
  readonly #keys: Keys;
  readonly #nodeId = randomBytes(nodeIdBytes);
  readonly #publisher: PublisherLink;
  readonly #subscriber: SubscriberLink;
  readonly #interest: Interest;
  readonly #gathering = new Gathering((batches) => this.#flush(batches));
  readonly #inFlight = new Set<Promise<void>>();
  #bytesInFlight = 0;
  #isClosed = false;
  #hasComplainedOfUnreadable = false;

  constructor(settings: RedisRelaySettings, delivery: Delivery, log: Log, counters: RedisRelayCounters) {
    this.#settings = settings;
    this.#delivery = delivery;
    this.#counters = counters;
    this.#log = log;
    this.#keys = new Keys(settings.redisPrefix);
    const publisherEvents: LinkEvents = { onReady: () => undefined, onLost: () => undefined };
    this.#publisher = new PublisherLink(settings, log, counters, publisherEvents);
    this.#subscriber = new SubscriberLink(settings, log, counters, {
      onReady: () => void this.#interest.onReady(),
      onLost: () => this.#interest.onLost(),
      onMessage: (channel, message) => this.#receive(channel, message),
    });
    this.#interest = new Interest(
      {
        isReady: () => this.#subscriber.isReady,
        subscribe: (topics) => this.#subscriber.subscribe(topics.map((topic) => this.#keys.channelOf(topic))),
        unsubscribe: (topics) => this.#subscriber.unsubscribe(topics.map((topic) => this.#keys.channelOf(topic))),
      },
      { ...settings, maxTopicsPerCommand: maxChannelsPerCommand },
      (topic) => {
        counters.gapsTold++;
        delivery.tellGap(topic);
      },
    );
  }

  get state(): RelayState {
    if (this.#isClosed) return 'closed';
    return this.#publisher.isReady && this.#subscriber.isReady ? 'connected' : 'connecting';
  }

  publish(topic: Topic, payload: Payload, receipt: Receipt | null): void {
    if (receipt !== null && !this.#publisher.isReady) {
      return this.#refuse(
        receipt,
        'unavailable',
        'The other nodes cannot be reached: Redis does not answer. Nothing was delivered.',
      );
    }
    const size = payload.end - payload.start + maxItemHeaderBytes;
    if (this.#bytesInFlight + this.#gathering.bytes + size > this.#settings.maxRelayBytes) {
      this.#counters.publicationsOverloaded++;
      return this.#refuse(
        receipt,
        'overloaded',
        'Too many publications wait for Redis. Nothing was delivered; publish more slowly.',
      );
    }
    this.#gathering.add(topic, payload, receipt);
  }

  async subscribe(topic: Topic): Promise<Position | null> {
    await this.#interest.want(topic);
    return null;
  }

  unsubscribe(topic: Topic): void {
    this.#interest.release(topic);
  }

  async close(): Promise<void> {
    this.#gathering.flush();
    await Promise.all(this.#inFlight);
    this.#isClosed = true;
    this.#interest.close();
    await Promise.all([this.#publisher.close(), this.#subscriber.close()]);
  }

  /** "Never before this returns": the caller may still be putting itself together. */
  #refuse(receipt: Receipt | null, code: 'unavailable' | 'overloaded', message: string): void {
    if (receipt !== null) queueMicrotask(() => receipt.failed(new ReplyError(code, message)));
  }

  #flush(batches: readonly Batch[]): void {
    const canRelay = this.#publisher.isReady;
    const messages: RedisMessage[] = [];
    const receipts: (readonly Receipt[])[] = [];
    let bytes = 0;
    for (const batch of batches) {
      const { topic, run } = batch;
      if (canRelay) {
        const message = encodeRedisMessage(this.#nodeId, run);
        bytes += message.length;
        messages.push({ channel: this.#keys.channelOf(topic), message });
        receipts.push(batch.receipts);
      } else {
        this.#counters.publicationsUnrelayed += run.count;
        for (const receipt of batch.receipts) receipt.failed(unconfirmed());
      }
      this.#delivery.deliver(topic, null, run);
    }
    if (messages.length === 0) return;
    const sending = this.#send(messages, receipts, bytes);
    this.#inFlight.add(sending);
    void sending.finally(() => this.#inFlight.delete(sending));
  }

  async #send(
    messages: readonly RedisMessage[],
    receipts: readonly (readonly Receipt[])[],
    bytes: number,
  ): Promise<void> {
    this.#bytesInFlight += bytes;
    const sentAt = performance.now();
    const errors = await this.#publisher.publish(messages);
    this.#counters.observeRelaySeconds((performance.now() - sentAt) / 1000);
    this.#bytesInFlight -= bytes;
    for (const [index, error] of errors.entries()) {
      for (const receipt of receipts[index] ?? []) {
        if (error === null) receipt.accepted(null);
        else receipt.failed(unconfirmed());
      }
    }
  }

  #receive(channel: Buffer, message: Buffer): void {
    this.#counters.redisMessagesReceived++;
    const topic = this.#keys.topicOf(channel);
    const decoded = decodeRedisMessage(message, this.#nodeId);
    if (topic === null || decoded === null) return this.#complainOfUnreadable();
    if (decoded.isOwn) return;
    this.#interest.beforeDelivery(topic);
    try {
      if (!this.#delivery.deliver(topic, null, decoded.run)) this.#counters.redisMessagesUnwanted++;
    } catch (error) {
      // Thrown into ioredis it would end the process.
      if (!(error instanceof LayoutError)) throw error;
      this.#complainOfUnreadable();
    }
  }

  #complainOfUnreadable(): void {
    this.#counters.redisMessagesUnreadable++;
    if (this.#hasComplainedOfUnreadable) return;
    this.#hasComplainedOfUnreadable = true;
    this.#log.warn(
      { event: 'redisMessageUnreadable' },
      'A Redis message on our channels is not ours to read: does a node of another version, or another program, use the same FANFARE_REDIS_PREFIX? (Said once; see the metric fanfare_redis_messages_unreadable_total.)',
    );
  }
}

function unconfirmed(): ReplyError {
  return new ReplyError(
    'unconfirmed',
    'The link to the other nodes failed with the publication on it. It may have been delivered or not.',
  );
}
