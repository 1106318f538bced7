/**
 * The relay of many nodes, through Redis. What is published goes out by {@link FastPublisher} or {@link HistoryPublisher}, as the topic's
 * level says; what comes in goes to the subscribers here, through a {@link Line} where the topic has history. {@link Probe} and
 * {@link Recovery} see to it that the way is open and that Redis holds what it was given.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  checkRun,
  LayoutError,
  maxItemHeaderBytes,
  type Payload,
  type Position,
  ReplyError,
  type Topic,
} from '@fanfare/protocol';
import type { Log } from '../observe/log.js';
import {
  maxChannelsPerCommand,
  PublisherLink,
  type RedisCounters,
  type RedisSettings,
  SubscriberLink,
  type Wait,
} from '../redis/redis.js';
import { readRedisUrl } from '../redis/redis-url.js';
import type { TopicPolicies } from '../topics/policy.js';
import { type EvictionCounters, EvictionWatch } from './eviction-watch.js';
import { FastPublisher, type FastPublisherCounters } from './fast-publisher.js';
import { FlushWindow } from './flush-window.js';
import { type Batch, Gathering } from './gathering.js';
import { noHistory, noHistoryError } from './history.js';
import { HistoryPublisher, type HistoryPublisherCounters } from './history-publisher.js';
import { HistoryReader } from './history-reader.js';
import { Interest } from './interest.js';
import { Keys } from './keys.js';
import type { LineCounters } from './line.js';
import { Lines } from './lines.js';
import { Membership, type MembershipCounters } from './membership.js';
import { leaseMs, rememberMs } from './memory-times.js';
import { parsePosition } from './position-id.js';
import { PublishScript } from './publish-script.js';
import { Published } from './published.js';
import { type GenerationChange, Recovery } from './recovery.js';
import { decodeRedisMessage } from './redis-message.js';
import type {
  Delivery,
  HistoryPage,
  HistoryRequest,
  Load,
  Payer,
  PublishTracer,
  Receipt,
  Relay,
  RelayState,
  Spread,
  Standing,
} from './relay.js';
import type { ScopedId } from './scoped-id.js';
import { decodeEntry } from './stream-entry.js';

export interface RedisRelaySettings extends RedisSettings {
  /** What the other nodes know this one by: {@link newNodeId}. */
  readonly nodeId: string;
  readonly redisPrefix: string;
  readonly topics: TopicPolicies;
  readonly unsubscribeLingerMs: number;
  /** Bytes of publications that may wait for Redis. Beyond it publishes are refused with `overloaded`. */
  readonly maxRelayBytes: number;
  /** Bytes of publications that are remembered for those who come back. */
  readonly recentBytes: number;
  readonly idempotencyWindowSeconds: number;
  readonly probeIntervalMs: number;
  readonly newNodeWaitMs: number;
  readonly durableReplicas: number;
  readonly durableTimeoutMs: number;
  readonly flushWindowMs: number;
}

export interface RedisRelayCounters
  extends RedisCounters,
    FastPublisherCounters,
    HistoryPublisherCounters,
    LineCounters,
    MembershipCounters,
    EvictionCounters {
  /** Publications refused because the queue for Redis was full. */
  publicationsOverloaded: number;
  /** Redis messages of other nodes with a topic nobody here wants. */
  redisMessagesUnwanted: number;
  redisMessagesReceived: number;
  /** Redis messages that could not be read. */
  redisMessagesUnreadable: number;
  beaconsSent: number;
  recoveries: number;
}

/** Behind the position in a message of a topic with history; a beacon has nothing behind it. */
const space = 0x20;

/** A topic that has been silent for this long since it was published to gets a beacon, in milliseconds. */
const beaconMs = 1_000;

export class RedisRelay implements Relay {
  readonly #settings: RedisRelaySettings;
  readonly #delivery: Delivery;
  readonly #counters: RedisRelayCounters;
  readonly #log: Log;
  readonly #keys: Keys;
  readonly #nodeId: Buffer;
  readonly #publisher: PublisherLink;
  readonly #durableLink: PublisherLink | null;
  readonly #subscriber: SubscriberLink;
  readonly #interest: Interest;
  readonly #window: FlushWindow;
  readonly #gathering: Gathering;
  readonly #fast: FastPublisher;
  readonly #recoverable: HistoryPublisher;
  readonly #durable: HistoryPublisher;
  readonly #reader: HistoryReader;
  readonly #lines: Lines;
  readonly #published: Published;
  readonly #publishScript: PublishScript;
  readonly #membership: Membership;
  readonly #recovery: Recovery;
  readonly #evictions: EvictionWatch;
  readonly #beacons: NodeJS.Timeout;
  /** The clock when {@link Published.turn} was last called. */
  #turnedAt = 0;
  #isClosed = false;
  readonly #hasComplained = new Set<string>();

  /** `load`: of this node; null while it stops. */
  constructor(
    settings: RedisRelaySettings,
    delivery: Delivery,
    log: Log,
    counters: RedisRelayCounters,
    load: () => Load | null,
    tracer: PublishTracer | null = null,
  ) {
    this.#settings = settings;
    this.#nodeId = Buffer.from(settings.nodeId, 'hex');
    this.#delivery = delivery;
    this.#counters = counters;
    this.#log = log;
    this.#keys = new Keys(settings.redisPrefix, readRedisUrl(settings.redisUrl).database);
    this.#published = new Published(rememberMs);
    this.#window = new FlushWindow(settings.flushWindowMs);
    this.#gathering = new Gathering(this.#window, (batches) => this.#flush(batches), tracer !== null);
    const keys = this.#keys;
    this.#publisher = new PublisherLink(settings, log, counters, {
      onReady: () => {
        this.#subscriber.hurry();
        this.#durableLink?.hurry();
        this.#fast.payElsewhere();
        void this.#evictions.look();
        this.#recovery.ask();
      },
      onLost: (wasSilent) => {
        this.#recovery.suspend();
        // A master that hangs and is replaced meanwhile may come back and deliver what nobody else has: this node must not be listening.
        if (wasSilent) this.#subscriber.reset();
      },
    });
    // WAIT holds up the connection that it is sent on: who asks for less must not stand behind it.
    this.#durableLink = settings.topics.uses('durable')
      ? new PublisherLink(
          { ...settings, redisTimeoutMs: settings.redisTimeoutMs + settings.durableTimeoutMs },
          log,
          counters,
          {},
          'durable',
        )
      : null;
    this.#subscriber = new SubscriberLink(settings, log, counters, {
      onReady: () => this.#listen(),
      onLost: () => {
        this.#membership.onLost();
        this.#interest.onLost();
      },
      onMessage: (channel, message) => this.#receive(channel.toString('latin1'), message),
    });
    this.#interest = new Interest(
      {
        isReady: () => this.#subscriber.isReady,
        subscribe: (topics) => this.#subscriber.subscribe(topics.map((topic) => keys.topic(topic))),
        unsubscribe: (topics) => this.#subscriber.unsubscribe(topics.map((topic) => keys.topic(topic))),
      },
      { ...settings, maxTopicsPerCommand: maxChannelsPerCommand },
      { onBack: (topic) => this.#onBack(topic), onForgotten: (topic) => this.#lines.forget(topic) },
    );
    this.#fast = new FastPublisher(this.#nodeId, this.#publisher, keys, delivery, counters);
    const wait = { replicas: settings.durableReplicas, timeoutMs: settings.durableTimeoutMs };
    const durableLink = this.#durableLink ?? this.#publisher;
    this.#evictions = new EvictionWatch(this.#publisher, log, counters);
    this.#publishScript = new PublishScript(this.#publisher, keys);
    this.#recovery = new Recovery(
      settings,
      this.#publisher,
      keys,
      this.#published,
      this.#publishScript,
      {
        nodes: () => this.#membership.nodeArgs,
        clock: () => this.#membership.clock,
        listened: () => this.#lines.all(),
        isListening: () => this.#subscriber.isReady && this.#interest.isComplete,
        isReachable: () => this.#membership.isListening,
        onSuspended: () => this.#membership.interrupt(),
        onServing: (change) => this.#onServing(change),
      },
      log,
    );
    const historyPublisher = (link: PublisherLink, replicas: Wait | null): HistoryPublisher =>
      new HistoryPublisher(
        link,
        keys,
        settings,
        counters,
        this.#published,
        this.#publishScript,
        replicas,
        this.#recovery,
        tracer,
      );
    this.#recoverable = historyPublisher(this.#publisher, null);
    this.#durable = historyPublisher(durableLink, wait);
    this.#reader = new HistoryReader(this.#publisher, this.#recovery, keys, settings.topics);
    this.#lines = new Lines(settings, this.#reader, delivery, log, counters);
    this.#membership = new Membership(
      settings,
      keys,
      this.#publisher,
      this.#durableLink === null ? [] : [this.#durableLink],
      this.#subscriber,
      this.#recovery,
      { load, onDead: (reason) => this.#rebuild(reason) },
      log,
      counters,
    );
    this.#beacons = setInterval(() => this.#sendBeacons(), beaconMs);
    this.#beacons.unref();
  }

  get state(): RelayState {
    if (this.#isClosed) return 'closed';
    if (!this.#publisher.isReady || !this.#subscriber.isReady || !this.#interest.isServed) return 'connecting';
    if (this.#recovery.generation !== null && this.#membership.isLive) return 'connected';
    return this.#publisher.isOutOfMemory ? 'outOfMemory' : 'unproven';
  }

  get fault(): string | null {
    return this.#publisher.fault ?? this.#subscriber.fault;
  }

  get nodes(): number {
    return this.#membership.count;
  }

  get spread(): Spread | null {
    return this.state === 'connected' ? this.#membership.spread : null;
  }

  get redisOutputBufferBytes(): number {
    return this.#membership.outputBufferBytes;
  }

  get flushWindowMs(): number {
    return this.#window.ms;
  }

  publish(
    topic: Topic,
    payload: Payload,
    id: ScopedId | null,
    receipt: Receipt | null,
    payer: Payer | null = null,
  ): void {
    if (!this.#canPublish(topic)) {
      if (receipt !== null) throw unavailable(this.#publisher.isOutOfMemory);
      // Subscribers of this node get it nevertheless where the topic keeps no history.
      if (this.#settings.topics.of(topic).level !== 'fast') {
        this.#counters.publicationsUnrelayed++;
        return;
      }
    }
    const size = payload.end - payload.start + maxItemHeaderBytes;
    if (this.#bytesWaiting() + size > this.#settings.maxRelayBytes) {
      this.#counters.publicationsOverloaded++;
      throw new ReplyError(
        'overloaded',
        'Too many publications are queued for Redis. Nothing was delivered. Publish more slowly.',
      );
    }
    this.#gathering.add(topic, payload, id, receipt, payer);
  }

  async subscribe(topic: Topic, since: Position | null): Promise<void> {
    await this.#interest.want(topic);
    if (this.hasHistory(topic)) await this.#lines.open(topic, since);
  }

  standing(topic: Topic, since: Position | null): Standing {
    return this.hasHistory(topic) ? this.#lines.standing(topic, since) : noHistory;
  }

  unsubscribe(topic: Topic): void {
    this.#interest.release(topic);
  }

  async history(topic: Topic, request: HistoryRequest): Promise<HistoryPage> {
    if (!this.hasHistory(topic)) throw noHistoryError(topic);
    return (await this.#lines.page(topic, request)) ?? (await this.#reader.page(topic, request));
  }

  async flush(): Promise<void> {
    this.#gathering.flush();
    await Promise.all([this.#fast.settled(), this.#recoverable.settled(), this.#durable.settled()]);
  }

  async retire(): Promise<void> {
    await this.flush();
    while (this.#published.silentMs < leaseMs) await delay(Math.max(1, leaseMs - this.#published.silentMs));
  }

  async close(): Promise<void> {
    await this.flush();
    this.#isClosed = true;
    clearInterval(this.#beacons);
    if (this.#published.silentMs >= leaseMs) await this.#membership.leave();
    this.#window.close();
    this.#membership.close();
    this.#evictions.close();
    this.#recovery.close();
    this.#lines.close();
    this.#interest.close();
    await Promise.all([this.#publisher.close(), this.#durableLink?.close(), this.#subscriber.close()]);
  }

  hasHistory(topic: Topic): boolean {
    return this.#settings.topics.of(topic).level !== 'fast';
  }

  hasPublished(topic: Topic): boolean {
    return this.#recoverable.hasPublished(topic) || this.#durable.hasPublished(topic);
  }

  #canPublish(topic: Topic): boolean {
    switch (this.#settings.topics.of(topic).level) {
      case 'fast':
        return this.#publisher.isReady;
      case 'recoverable':
        return this.#recovery.generation !== null;
      case 'durable':
        return this.#recovery.generation !== null && this.#durableLink?.isReady === true;
    }
  }

  #bytesWaiting(): number {
    return this.#gathering.bytes + this.#fast.bytes + this.#recoverable.bytes + this.#durable.bytes;
  }

  #flush(batches: readonly Batch[]): void {
    const byLevel = { fast: [] as Batch[], recoverable: [] as Batch[], durable: [] as Batch[] };
    for (const batch of batches) byLevel[this.#settings.topics.of(batch.topic).level].push(batch);
    if (byLevel.fast.length > 0) this.#fast.publish(byLevel.fast);
    if (byLevel.recoverable.length + byLevel.durable.length > 0) this.#membership.announcePublishing();
    if (byLevel.recoverable.length > 0) this.#recoverable.publish(byLevel.recoverable);
    if (byLevel.durable.length > 0) this.#durable.publish(byLevel.durable);
  }

  // What comes from Redis.

  #receive(channel: string, message: Buffer): void {
    if (channel === this.#keys.control) return this.#membership.onControl(message);
    const topic = this.#keys.topicOf(channel);
    if (topic === null) return this.#membership.onProbe(message);
    this.#counters.redisMessagesReceived++;
    // Messages of topics with history begin with the digits of their position.
    if ((message[0] as number) >= space) this.#receivePlaced(topic, message);
    else this.#receiveFast(topic, message);
  }

  #receivePlaced(topic: Topic, message: Buffer): void {
    const end = message.indexOf(space);
    const position = parsePosition(message.toString('latin1', 0, end === -1 ? message.length : end));
    if (position === null) return this.#complainOfUnreadable();
    if (end === -1) return this.#lines.onBeacon(topic, position);
    // A copy: the message is a view of what the socket has read, and a line remembers entries for long.
    const entry = decodeEntry(position, Buffer.from(message.subarray(end + 1)));
    if (entry === null) return this.#complainOfUnreadable();
    if (!this.hasHistory(topic)) return this.#complainOfPolicies(topic);
    if (!this.#lines.receive(topic, entry)) this.#counters.redisMessagesUnwanted++;
  }

  #receiveFast(topic: Topic, message: Buffer): void {
    const decoded = decodeRedisMessage(message, this.#nodeId);
    if (decoded === null) return this.#complainOfUnreadable();
    if (decoded.isOwn) return;
    try {
      checkRun(decoded.run);
    } catch (error) {
      // Thrown into ioredis it would end the process.
      if (!(error instanceof LayoutError)) throw error;
      return this.#complainOfUnreadable();
    }
    if (this.hasHistory(topic)) return this.#complainOfPolicies(topic);
    this.#interest.beforeDelivery(topic);
    if (decoded.run.count === 0) this.#tellGap(topic);
    else if (!this.#delivery.deliver(topic, null, decoded.run)) this.#counters.redisMessagesUnwanted++;
  }

  /** A topic is listened to again after the connection was lost. */
  #onBack(topic: Topic): void {
    if (!this.hasHistory(topic)) return this.#tellGap(topic);
    this.#lines.doubtTail(topic);
    this.#lines.check();
  }

  #tellGap(topic: Topic): void {
    this.#counters.gapsTold++;
    this.#delivery.tellGap(topic, null);
  }

  // Whether Redis holds what it was given, and delivers it.

  #listen(): void {
    this.#publisher.hurry();
    this.#membership.listen();
    this.#interest.onReady();
  }

  #onServing(change: GenerationChange): void {
    if (change === 'restored' || change === 'missed') this.#counters.recoveries++;
    if (change === 'restored') this.#lines.doubtTail();
    if (change === 'missed') this.#lines.doubtAll();
    // Also what could not be read while there was no connection.
    this.#lines.check();
    void (change === 'first' ? this.#membership.introduce() : this.#membership.restart());
  }

  #rebuild(reason: string): void {
    // It says what is wrong, and another connection would hear the same; this one goes on for topics of level `fast`.
    if (this.#publisher.isOutOfMemory) return;
    this.#log.error(
      { event: 'busDead' },
      `The path through Redis is broken: ${reason}. Reconnecting both Redis connections.`,
    );
    this.#publisher.reset();
    this.#durableLink?.reset();
    this.#subscriber.reset();
  }

  /** Says once more where topics stand that have fallen silent: who has missed the last publication learns it now. */
  #sendBeacons(): void {
    // While heartbeats get no answer, Redis may be about to lose what this node remembers.
    if (this.#recovery.generation === null || this.#membership.clock.ms === this.#turnedAt) return;
    this.#turnedAt = this.#membership.clock.ms;
    const messages = this.#published.turn().map(({ topic, epoch, offset }) => {
      return { channel: this.#keys.topic(topic), message: Buffer.from(`${epoch}-${offset}`) };
    });
    if (messages.length === 0) return;
    this.#counters.beaconsSent += messages.length;
    void this.#publisher.publish(messages);
  }

  #complainOfUnreadable(): void {
    this.#counters.redisMessagesUnreadable++;
    if (this.#hasComplained.has('unreadable')) return;
    this.#hasComplained.add('unreadable');
    this.#log.warn(
      { event: 'redisMessageUnreadable' },
      'Received a Redis message that this node cannot decode. Check whether a node of another version, or another program, uses the same FANFARE_REDIS_PREFIX. Logged once; see the metric fanfare_redis_messages_unreadable_total.',
    );
  }

  #complainOfPolicies(topic: Topic): void {
    this.#counters.redisMessagesUnreadable++;
    if (this.#hasComplained.has('policies')) return;
    this.#hasComplained.add('policies');
    this.#log.error(
      { event: 'policiesDiffer', topic },
      'Another node publishes to this topic with a different level. This node does not deliver its publications. Give all nodes the same FANFARE_TOPICS. Logged once.',
    );
  }
}

function unavailable(isOutOfMemory: boolean): ReplyError {
  const why = isOutOfMemory ? 'is out of memory (maxmemory)' : 'does not respond';
  return new ReplyError('unavailable', `The other nodes are unreachable: Redis ${why}. Nothing was delivered.`);
}
