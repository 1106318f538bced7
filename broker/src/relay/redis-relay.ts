/**
 * The relay of many nodes, at level `fast`: publications of a turn leave as one PUBLISH for each topic, all in one pipeline; this
 * node's own subscribers get them first and do not depend on Redis.
 */
import { randomBytes } from 'node:crypto';
import {
  checkRun,
  emptyRun,
  LayoutError,
  maxItemHeaderBytes,
  type Payload,
  type Position,
  ReplyError,
  type Run,
  type Topic,
} from '@fanfare/protocol';
import type { Log } from '../log.js';
import {
  maxChannelsPerCommand,
  PublisherLink,
  type RedisCounters,
  type RedisMessage,
  type RedisSettings,
  SubscriberLink,
} from '../redis.js';
import { type Batch, Gathering, runOverheadBytes } from './gathering.js';
import { Interest } from './interest.js';
import { Keys } from './keys.js';
import { decodeRedisMessage, encodeRedisMessage, nodeIdBytes } from './redis-message.js';
import type { Delivery, Receipt, Relay, RelayState } from './relay.js';

export interface RedisRelaySettings extends RedisSettings {
  readonly redisPrefix: string;
  readonly unsubscribeLingerMs: number;
  /** Bytes of publications that may wait for Redis. Beyond it publishes are refused with `overloaded`. */
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

/** Most topics remembered whose subscribers on other nodes are owed a gap, about 100 bytes each. Of further ones they are not told. */
const maxOwedTopics = 100_000;

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
  /** Topics of publications that may not have reached the other nodes, which do not know that. */
  readonly #owedElsewhere = new Set<Topic>();
  #isClosed = false;
  #hasComplainedOfUnreadable = false;

  constructor(settings: RedisRelaySettings, delivery: Delivery, log: Log, counters: RedisRelayCounters) {
    this.#settings = settings;
    this.#delivery = delivery;
    this.#counters = counters;
    this.#log = log;
    this.#keys = new Keys(settings.redisPrefix);
    this.#publisher = new PublisherLink(settings, log, counters, { onReady: () => this.#payElsewhere() });
    this.#subscriber = new SubscriberLink(settings, log, counters, {
      onReady: () => this.#interest.onReady(),
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
      (topic) => this.#tellGap(topic),
    );
  }

  get state(): RelayState {
    if (this.#isClosed) return 'closed';
    const isConnected = this.#publisher.isReady && this.#subscriber.isReady && this.#interest.isServed;
    return isConnected ? 'connected' : 'connecting';
  }

  publish(topic: Topic, payload: Payload, receipt: Receipt | null): void {
    if (receipt !== null && !this.#publisher.isReady) {
      throw new ReplyError(
        'unavailable',
        'The other nodes cannot be reached: Redis does not answer. Nothing was delivered.',
      );
    }
    const size = payload.end - payload.start + maxItemHeaderBytes;
    if (this.#bytesInFlight + this.#gathering.bytes + size > this.#settings.maxRelayBytes) {
      this.#counters.publicationsOverloaded++;
      throw new ReplyError(
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

  async flush(): Promise<void> {
    this.#gathering.flush();
    await Promise.all(this.#inFlight);
  }

  async close(): Promise<void> {
    await this.flush();
    this.#isClosed = true;
    this.#interest.close();
    await Promise.all([this.#publisher.close(), this.#subscriber.close()]);
  }

  #flush(batches: readonly Batch[]): void {
    const canRelay = this.#publisher.isReady;
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

  /** Sends messages in one pipeline; `sent` says what stands at the same index. */
  #send(messages: readonly RedisMessage[], sent: readonly Sent[]): void {
    if (messages.length === 0) return;
    const bytes = messages.reduce((sum, { message }) => sum + message.length + runOverheadBytes, 0);
    this.#bytesInFlight += bytes;
    const sentAt = performance.now();
    const sending = this.#publisher.publish(messages).then((errors) => {
      this.#counters.observeRelaySeconds((performance.now() - sentAt) / 1000);
      this.#bytesInFlight -= bytes;
      this.#inFlight.delete(sending);
      for (const [index, batch] of sent.entries()) {
        if (errors[index] !== null) this.#fail(batch);
        else for (const receipt of batch.receipts) receipt.accepted(null);
      }
    });
    this.#inFlight.add(sending);
  }

  #messageOf(topic: Topic, run: Run): RedisMessage {
    return { channel: this.#keys.channelOf(topic), message: encodeRedisMessage(this.#nodeId, run) };
  }

  #fail({ topic, receipts }: Sent): void {
    if (this.#owedElsewhere.size < maxOwedTopics) this.#owedElsewhere.add(topic);
    for (const receipt of receipts) {
      receipt.failed(
        new ReplyError(
          'unconfirmed',
          'The link to the other nodes failed with the publication on it. It may have been delivered or not.',
        ),
      );
    }
  }

  /** The other nodes can be reached again: has them tell of the publications that did not reach them. An empty run says that. */
  #payElsewhere(): void {
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

  #receive(channel: Buffer, message: Buffer): void {
    this.#counters.redisMessagesReceived++;
    const topic = this.#keys.topicOf(channel);
    const decoded = decodeRedisMessage(message, this.#nodeId);
    if (topic === null || decoded === null) return this.#complainOfUnreadable();
    if (decoded.isOwn) return;
    try {
      checkRun(decoded.run);
    } catch (error) {
      // Thrown into ioredis it would end the process.
      if (!(error instanceof LayoutError)) throw error;
      return this.#complainOfUnreadable();
    }
    this.#interest.beforeDelivery(topic);
    if (decoded.run.count === 0) this.#tellGap(topic);
    else if (!this.#delivery.deliver(topic, null, decoded.run)) this.#counters.redisMessagesUnwanted++;
  }

  #tellGap(topic: Topic): void {
    this.#counters.gapsTold++;
    this.#delivery.tellGap(topic);
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

/** What became a message: whose subscribers elsewhere miss it if it fails, and who waits for its outcome. */
interface Sent {
  readonly topic: Topic;
  readonly receipts: readonly Receipt[];
}
