/**
 * The relay of many nodes, through Redis. Publications leave by {@link FastPublisher} or {@link HistoryPublisher}, as the topic's level
 * requires. Messages arrive through {@link Receiver}. {@link Membership} checks that Redis delivers, and {@link Recovery} that it holds
 * what was stored.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { maxItemHeaderBytes, type Payload, type Position, ReplyError, type Topic } from '@fanfare/protocol';
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
import type { Level, TopicPolicies } from '../topics/policy.js';
import { type BeaconCounters, Beacons } from './beacons.js';
import { type EvictionCounters, EvictionWatch } from './eviction-watch.js';
import { FastPublisher, type FastPublisherCounters } from './fast-publisher.js';
import { FlushWindow } from './flush-window.js';
import { noHistory, noHistoryError } from './history.js';
import { HistoryPublisher, type HistoryPublisherCounters } from './history-publisher.js';
import { HistoryReader } from './history-reader.js';
import { Interest } from './interest.js';
import { Keys } from './keys.js';
import { Membership, type MembershipCounters } from './membership.js';
import { leaseMs, rememberMs } from './memory-times.js';
import { type Batch, PublishBatcher } from './publish-batcher.js';
import { PublishLog } from './publish-log.js';
import { PublishScript } from './publish-script.js';
import { Receiver, type ReceiverCounters } from './receiver.js';
import { type GenerationChange, Recovery } from './recovery.js';
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
  SubscribeResult,
} from './relay.js';
import type { ScopedId } from './scoped-id.js';
import type { FeedCounters } from './topic-feed.js';
import { TopicFeeds } from './topic-feeds.js';
import { type TopicState, TopicStates } from './topic-state.js';

export interface RedisRelaySettings extends RedisSettings {
  /** The id by which the other nodes know this one: {@link newNodeId}. */
  readonly nodeId: string;
  readonly redisPrefix: string;
  readonly topics: TopicPolicies;
  readonly unsubscribeLingerMs: number;
  /** Bytes of publications that may wait for Redis. Beyond it, publishes are refused with `overloaded`. */
  readonly maxRelayBytes: number;
  /** Bytes of publications kept in memory for subscribers that return. */
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
    FeedCounters,
    MembershipCounters,
    BeaconCounters,
    ReceiverCounters,
    EvictionCounters {
  /** Publications refused because the queue for Redis was full. */
  publicationsOverloaded: number;
  recoveries: number;
}

export class RedisRelay implements Relay {
  readonly #publisher: PublisherLink;
  readonly #durableLink: PublisherLink | null;
  readonly #subscriber: SubscriberLink;
  readonly #interest: Interest;
  readonly #window: FlushWindow;
  readonly #batcher: PublishBatcher;
  readonly #fast: FastPublisher;
  readonly #recoverable: HistoryPublisher;
  readonly #durable: HistoryPublisher;
  readonly #reader: HistoryReader;
  readonly #receiver: Receiver;
  readonly #feeds: TopicFeeds;
  readonly #publishLog = new PublishLog(rememberMs);
  readonly #membership: Membership;
  readonly #recovery: Recovery;
  readonly #evictions: EvictionWatch;
  readonly #beacons: Beacons;
  #isClosed = false;

  /** `load`: of this node; null while it stops. */
  constructor(
    private readonly settings: RedisRelaySettings,
    delivery: Delivery,
    private readonly log: Log,
    private readonly counters: RedisRelayCounters,
    load: () => Load | null,
    tracer: PublishTracer | null = null,
  ) {
    const keys = new Keys(settings.redisPrefix, readRedisUrl(settings.redisUrl).database);
    const nodeId = Buffer.from(settings.nodeId, 'hex');
    const states = new TopicStates(settings.topics);
    this.#window = new FlushWindow(settings.flushWindowMs);
    this.#batcher = new PublishBatcher(this.#window, (batches) => this.#flush(batches), tracer !== null);
    this.#publisher = new PublisherLink(settings, log, counters, {
      onReady: () => {
        this.#subscriber.reconnectNow();
        this.#durableLink?.reconnectNow();
        this.#fast.announceGaps();
        void this.#evictions.look();
        this.#recovery.ask();
      },
      onLost: (wasSilent) => {
        this.#recovery.suspend();
        // If a hung master has been failed over and then resumes, it may deliver publications that the new master does not have.
        if (wasSilent) this.#subscriber.reset();
      },
    });
    // WAIT blocks the connection that it is sent on: publications that need no replicas must not wait behind it.
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
      onReady: () => {
        this.#publisher.reconnectNow();
        this.#membership.listen();
        this.#interest.onReady();
      },
      onLost: () => {
        this.#membership.onLost();
        this.#interest.onLost();
      },
      onMessage: (message) => {
        const { bytes, channelStart, channelEnd, start, end } = message;
        const topic = keys.topicOf(bytes, channelStart, channelEnd);
        if (topic !== null) return this.#receiver.receive(topic, message);
        const content = bytes.subarray(start, end);
        const isControl = bytes.toString('latin1', channelStart, channelEnd) === keys.control;
        if (isControl) this.#membership.onControl(content);
        else this.#membership.onProbe(content);
      },
    });
    this.#interest = new Interest(
      states,
      {
        isReady: () => this.#subscriber.isReady,
        subscribe: (topics) => this.#subscriber.subscribe(topics.map((topic) => keys.topic(topic))),
        unsubscribe: (topics) => this.#subscriber.unsubscribe(topics.map((topic) => keys.topic(topic))),
      },
      { ...settings, maxTopicsPerCommand: maxChannelsPerCommand },
      (state) => this.#onBack(state),
    );
    this.#receiver = new Receiver(nodeId, states, this.#interest, delivery, log, counters);
    this.#fast = new FastPublisher(nodeId, this.#publisher, keys, delivery, counters);
    this.#evictions = new EvictionWatch(this.#publisher, log, counters);
    const publishScript = new PublishScript(this.#publisher, keys);
    this.#recovery = new Recovery(
      settings,
      this.#publisher,
      keys,
      this.#publishLog,
      publishScript,
      {
        nodes: () => this.#membership.nodeArgs,
        clock: () => this.#membership.clock,
        listened: () => this.#feeds.all(),
        isListening: () => this.#subscriber.isReady && this.#interest.isComplete,
        isReachable: () => this.#membership.isListening,
        onSuspended: () => this.#membership.interrupt(),
        onServing: (change) => this.#onServing(change),
      },
      log,
    );
    const historyPublisher = (link: PublisherLink, wait: Wait | null): HistoryPublisher =>
      new HistoryPublisher(
        link,
        keys,
        settings,
        counters,
        this.#publishLog,
        publishScript,
        wait,
        this.#recovery,
        tracer,
      );
    this.#recoverable = historyPublisher(this.#publisher, null);
    this.#durable = historyPublisher(this.#durableLink ?? this.#publisher, {
      replicas: settings.durableReplicas,
      timeoutMs: settings.durableTimeoutMs,
    });
    this.#reader = new HistoryReader(this.#publisher, this.#recovery, keys, settings.topics);
    this.#feeds = new TopicFeeds(states, settings, this.#reader, delivery, log, counters);
    this.#membership = new Membership(
      settings,
      keys,
      this.#publisher,
      this.#durableLink === null ? [] : [this.#durableLink],
      this.#subscriber,
      this.#recovery,
      { load, onDead: (reason) => this.#reconnect(reason) },
      log,
      counters,
    );
    const clockMs = (): number => this.#membership.clock.ms;
    this.#beacons = new Beacons(this.#publishLog, this.#publisher, keys, this.#recovery, clockMs, counters);
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
    const policy = this.settings.topics.of(topic);
    if (!this.#canPublish(policy.level)) {
      if (receipt !== null) throw unavailable(this.#publisher.isOutOfMemory);
      // If the topic keeps no history, subscribers of this node get it nevertheless.
      if (policy.level !== 'fast') {
        this.counters.publicationsUnrelayed++;
        return;
      }
    }
    const size = payload.end - payload.start + maxItemHeaderBytes;
    if (this.#bytesWaiting() + size > this.settings.maxRelayBytes) {
      this.counters.publicationsOverloaded++;
      throw new ReplyError(
        'overloaded',
        'Too many publications are queued for Redis. Nothing was delivered. Publish more slowly.',
      );
    }
    this.#batcher.add(topic, policy, payload, id, receipt, payer);
  }

  async subscribe(topic: Topic, since: Position | null): Promise<void> {
    await this.#interest.want(topic);
    if (this.hasHistory(topic)) await this.#feeds.open(topic, since);
  }

  subscribeResult(topic: Topic, since: Position | null): SubscribeResult {
    return this.hasHistory(topic) ? this.#feeds.subscribeResult(topic, since) : noHistory;
  }

  unsubscribe(topic: Topic): void {
    this.#interest.release(topic);
  }

  async history(topic: Topic, request: HistoryRequest): Promise<HistoryPage> {
    if (!this.hasHistory(topic)) throw noHistoryError(topic);
    return (await this.#feeds.page(topic, request)) ?? (await this.#reader.page(topic, request));
  }

  async flush(): Promise<void> {
    this.#batcher.flush();
    await Promise.all([this.#fast.settled(), this.#recoverable.settled(), this.#durable.settled()]);
  }

  async retire(): Promise<void> {
    await this.flush();
    while (this.#publishLog.idleMs < leaseMs) await delay(Math.max(1, leaseMs - this.#publishLog.idleMs));
  }

  async close(): Promise<void> {
    await this.flush();
    this.#isClosed = true;
    this.#beacons.close();
    if (this.#publishLog.idleMs >= leaseMs) await this.#membership.leave();
    this.#window.close();
    this.#membership.close();
    this.#evictions.close();
    this.#recovery.close();
    this.#feeds.close();
    this.#interest.close();
    await Promise.all([this.#publisher.close(), this.#durableLink?.close(), this.#subscriber.close()]);
  }

  hasHistory(topic: Topic): boolean {
    return this.settings.topics.of(topic).level !== 'fast';
  }

  hasPublished(topic: Topic): boolean {
    return this.#recoverable.hasPublished(topic) || this.#durable.hasPublished(topic);
  }

  #canPublish(level: Level): boolean {
    if (level === 'fast') return this.#publisher.isReady;
    return this.#recovery.generation !== null && (level !== 'durable' || this.#durableLink?.isReady === true);
  }

  #bytesWaiting(): number {
    return this.#batcher.bytes + this.#fast.bytes + this.#recoverable.bytes + this.#durable.bytes;
  }

  #flush(batches: readonly Batch[]): void {
    const fast = ofLevel(batches, 'fast');
    const recoverable = ofLevel(batches, 'recoverable');
    const durable = ofLevel(batches, 'durable');
    if (fast.length > 0) this.#fast.publish(fast);
    if (recoverable.length + durable.length > 0) this.#membership.announcePublishing();
    if (recoverable.length > 0) this.#recoverable.publish(recoverable);
    if (durable.length > 0) this.#durable.publish(durable);
  }

  /** A topic is listened to again after the connection was lost. */
  #onBack({ topic, hasHistory, feed }: TopicState): void {
    if (!hasHistory) return this.#receiver.notifyGap(topic);
    feed?.suspect('tail');
    this.#feeds.check();
  }

  #onServing(change: GenerationChange): void {
    if (change === 'restored' || change === 'missed') this.counters.recoveries++;
    if (change === 'restored') this.#feeds.doubtTails();
    if (change === 'missed') this.#feeds.doubtAll();
    // This also reads publications that could not be read without a connection.
    this.#feeds.check();
    void (change === 'first' ? this.#membership.introduce() : this.#membership.restart());
  }

  #reconnect(reason: string): void {
    // Another connection would get the same answer, and this one still serves topics of level `fast`.
    if (this.#publisher.isOutOfMemory) return;
    this.log.error(
      { event: 'busDead' },
      `The path through Redis is broken: ${reason}. Reconnecting both Redis connections.`,
    );
    this.#publisher.reset();
    this.#durableLink?.reset();
    this.#subscriber.reset();
  }
}

/** Most turns have batches of one level only: then this makes no array. */
function ofLevel(batches: readonly Batch[], level: Level): readonly Batch[] {
  return batches.every(({ policy }) => policy.level === level)
    ? batches
    : batches.filter(({ policy }) => policy.level === level);
}

function unavailable(isOutOfMemory: boolean): ReplyError {
  const why = isOutOfMemory ? 'is out of memory (maxmemory)' : 'does not respond';
  return new ReplyError('unavailable', `The other nodes are unreachable: Redis ${why}. Nothing was delivered.`);
}
