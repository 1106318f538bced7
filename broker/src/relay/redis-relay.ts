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
  Writer,
  writeItem,
} from '@fanfare/protocol';
import type { Log } from '../observe/log.js';
import {
  isOfAnotherLayout,
  isWriteRefusal,
  maxChannelsPerCommand,
  PublisherLink,
  type RedisCounters,
  type RedisSettings,
  type ScriptCall,
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
import { type Generation, HistoryPublisher, type HistoryPublisherCounters } from './history-publisher.js';
import { HistoryReader } from './history-reader.js';
import { Interest } from './interest.js';
import { Keys } from './keys.js';
import { KnownNodes } from './known-nodes.js';
import type { LineCounters } from './line.js';
import { Lines } from './lines.js';
import { leaseMs, maxHeartbeatMs, rememberMs } from './memory-times.js';
import { parsePosition } from './position-id.js';
import { Probe, type ProbeCounters } from './probe.js';
import { isUnknownScript, PublishScript } from './publish-script.js';
import { Published } from './published.js';
import { Recovery } from './recovery.js';
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
import { scripts } from './scripts.js';
import { decodeEntry, encodeEntry } from './stream-entry.js';

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
    ProbeCounters,
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

/** What stands before a node's name on the control channel if it has left, and if it is about to publish for the first time. */
const leaving = 'left:';
const publishing = 'publishing:';

/** Stream of a node's probes: it is gone soon after the node, in milliseconds. */
const probeStreamMs = 60_000;

export class RedisRelay implements Relay {
  readonly #settings: RedisRelaySettings;
  readonly #delivery: Delivery;
  readonly #counters: RedisRelayCounters;
  readonly #log: Log;
  readonly #keys: Keys;
  /** The id of this node, and its bytes. */
  readonly #name: string;
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
  readonly #probe: Probe;
  readonly #recovery: Recovery;
  readonly #evictions: EvictionWatch;
  readonly #beacons: NodeJS.Timeout;
  readonly #beats: NodeJS.Timeout;
  readonly #load: () => Load | null;
  #generation: Generation | null = null;
  #lastGeneration: string | null = null;
  readonly #nodes = new KnownNodes();
  /** What all nodes measure time by (lua/heartbeat.lua): as it was told, and when that was asked for, by performance.now(). */
  #clock = { told: 0, askedAt: 0 };
  /** The clock when {@link Published.turn} was last called. */
  #turnedAt = 0;
  #hasPublished = false;
  /** Whether Redis knows that it has. */
  #isKnownToPublish = false;
  #isOnControl = false;
  #spread: Spread | null = null;
  /** What this node said last of its connections. */
  #reported: Load | null = null;
  #outputBufferBytes = 0;
  #probeOffset = 0;
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
    this.#name = settings.nodeId;
    this.#nodeId = Buffer.from(settings.nodeId, 'hex');
    this.#load = load;
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
        this.#suspend();
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
        this.#isOnControl = false;
        this.#probe.interrupt();
        this.#outputBufferBytes = 0;
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
    const onStale = (): void => this.#onStale();
    const wait = { replicas: settings.durableReplicas, timeoutMs: settings.durableTimeoutMs };
    const durableLink = this.#durableLink ?? this.#publisher;
    this.#evictions = new EvictionWatch(this.#publisher, log, counters);
    this.#publishScript = new PublishScript(this.#publisher, keys);
    const historyPublisher = (link: PublisherLink, replicas: Wait | null): HistoryPublisher =>
      new HistoryPublisher(
        link,
        keys,
        settings,
        counters,
        this.#published,
        this.#publishScript,
        replicas,
        onStale,
        tracer,
      );
    this.#recoverable = historyPublisher(this.#publisher, null);
    this.#durable = historyPublisher(durableLink, wait);
    this.#reader = new HistoryReader(
      {
        generation: () => this.#generation,
        onStale,
        evaluate: async (call) => {
          const answer = await this.#evaluate(call);
          if (answer instanceof Error) throw answer;
          return answer;
        },
      },
      keys,
      settings.topics,
    );
    this.#lines = new Lines(settings, this.#reader, delivery, log, counters);
    this.#probe = new Probe(
      settings,
      { send: (number) => this.#sendProbe(number), onDead: (reason) => this.#rebuild(reason) },
      log,
      counters,
    );
    this.#recovery = new Recovery(
      this.#name,
      this.#publisher,
      keys,
      settings,
      this.#published,
      this.#publishScript,
      {
        nodes: () => this.#nodes.toArgs(),
        clock: () => this.#clock,
        listened: () => this.#lines.all(),
        isListening: () => this.#subscriber.isReady && this.#interest.isComplete,
        isReachable: () => this.#isOnControl,
        onRecovering: () => this.#suspend(),
        onServing: (generation, tookPart) => this.#serve(generation, tookPart),
      },
      log,
    );
    this.#beacons = setInterval(() => this.#sendBeacons(), beaconMs);
    this.#beacons.unref();
    this.#beats = setInterval(() => void this.#beat(), Math.min(settings.probeIntervalMs, maxHeartbeatMs));
    this.#beats.unref();
  }

  get state(): RelayState {
    if (this.#isClosed) return 'closed';
    if (!this.#publisher.isReady || !this.#subscriber.isReady || !this.#interest.isServed) return 'connecting';
    if (this.#generation !== null && this.#probe.isLive) return 'connected';
    return this.#publisher.isOutOfMemory ? 'outOfMemory' : 'unproven';
  }

  get fault(): string | null {
    return this.#publisher.fault ?? this.#subscriber.fault;
  }

  get nodes(): number {
    return this.#nodes.count;
  }

  get spread(): Spread | null {
    return this.state === 'connected' ? this.#spread : null;
  }

  get redisOutputBufferBytes(): number {
    return this.#outputBufferBytes;
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
    clearInterval(this.#beats);
    if (this.#published.silentMs >= leaseMs) await this.#leave();
    this.#window.close();
    this.#probe.close();
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
        return this.#recoverable.isOpen;
      case 'durable':
        return this.#durable.isOpen && this.#durableLink?.isReady === true;
    }
  }

  #bytesWaiting(): number {
    return this.#gathering.bytes + this.#fast.bytes + this.#recoverable.bytes + this.#durable.bytes;
  }

  #flush(batches: readonly Batch[]): void {
    const byLevel = { fast: [] as Batch[], recoverable: [] as Batch[], durable: [] as Batch[] };
    for (const batch of batches) byLevel[this.#settings.topics.of(batch.topic).level].push(batch);
    if (byLevel.fast.length > 0) this.#fast.publish(byLevel.fast);
    if (byLevel.recoverable.length + byLevel.durable.length > 0) this.#announcePublishing();
    if (byLevel.recoverable.length > 0) this.#recoverable.publish(byLevel.recoverable);
    if (byLevel.durable.length > 0) this.#durable.publish(byLevel.durable);
  }

  // What comes from Redis.

  #receive(channel: string, message: Buffer): void {
    if (channel === this.#keys.control) {
      const text = message.toString('latin1');
      if (text === this.#name) return;
      if (text.startsWith(leaving)) {
        this.#nodes.forget(text.slice(leaving.length));
        return;
      }
      if (text.startsWith(publishing)) {
        this.#nodes.hearPublishing(text.slice(publishing.length));
        return;
      }
      this.#recovery.ask();
      void this.#beat();
      return;
    }
    const topic = this.#keys.topicOf(channel);
    if (topic === null) return this.#receiveProbe(message);
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
    this.#subscriber.subscribe([this.#keys.control, this.#keys.probe(this.#name)]).then(
      () => {
        this.#isOnControl = true;
        this.#probe.restart();
      },
      () => {
        // Lost, or refused and said in the log: the probe will not come back, and the connection is made anew.
      },
    );
    this.#interest.onReady();
  }

  #suspend(): void {
    this.#generation = null;
    this.#recoverable.shut();
    this.#durable.shut();
    this.#probe.interrupt();
  }

  /** What Redis holds may be of another generation, or not ours. */
  #onStale(): void {
    this.#suspend();
    this.#recovery.ask();
  }

  #serve(generation: Generation, tookPart: boolean): void {
    const isFirst = this.#lastGeneration === null;
    const isAnother = !isFirst && this.#lastGeneration !== generation.name;
    this.#lastGeneration = generation.name;
    this.#generation = generation;
    this.#recoverable.open(generation);
    this.#durable.open(generation);
    if (isAnother) {
      this.#counters.recoveries++;
      if (tookPart) this.#lines.doubtTail();
      else this.#lines.doubtAll();
    }
    // Also what could not be read while there was no connection to ask on.
    this.#lines.check();
    this.#probe.restart();
    if (isFirst) void this.#introduce();
  }

  /** The others are to know how many nodes to wait for when Redis loses its state. */
  async #introduce(): Promise<void> {
    await this.#beat();
    await this.#publisher.publish([{ channel: this.#keys.control, message: Buffer.from(this.#name) }]);
  }

  /**
   * Before the first publication, on each connection that it may take: if this node dies, the others must know that it may have published
   * what Redis has lost.
   */
  #announcePublishing(): void {
    if (this.#isKnownToPublish) return;
    this.#hasPublished = true;
    for (const link of [this.#publisher, this.#durableLink]) {
      void link?.publish([{ channel: this.#keys.control, message: Buffer.from(publishing + this.#name) }]);
      void link?.evaluate([this.#heartbeat()]).then(([answer]) => {
        if (!(answer instanceof Error)) this.#isKnownToPublish = true;
      });
    }
  }

  /** No other node has to wait for this one any more, whatever happens to Redis. */
  async #leave(): Promise<void> {
    if (this.#generation === null) return;
    await this.#evaluate(this.#heartbeat(true));
    await this.#publisher.publish([{ channel: this.#keys.control, message: Buffer.from(leaving + this.#name) }]);
  }

  /** Says that this node lives, and hears how many do. */
  async #beat(): Promise<void> {
    if (this.#generation === null) return;
    const askedAt = performance.now();
    this.#hearBeat(await this.#evaluate(this.#heartbeat()), askedAt);
  }

  /**
   * Answers an error instead of rejecting. If Redis has lost the script (SCRIPT FLUSH), it gets it and is asked again; so not for publications,
   * whose order that would change (publish-script.ts).
   */
  async #evaluate(call: ScriptCall): Promise<unknown> {
    const [answer] = await this.#publisher.evaluate([call]);
    if (!(answer instanceof Error && isUnknownScript(answer))) return answer;
    try {
      await this.#publisher.load([call.script]);
      return (await this.#publisher.evaluate([call]))[0];
    } catch (error) {
      return error;
    }
  }

  #hearBeat(beat: unknown, askedAt: number): void {
    // What stands there now is not ours to read: nothing more is published, until asking finds our layout again.
    if (beat instanceof Error && isOfAnotherLayout(beat)) this.#onStale();
    if (!isBeatAnswer(beat)) return;
    const [living, clock, nodes, open, connections, unpublished] = beat;
    this.#spread = spreadOf({ nodes, open, connections }, this.#reported);
    if (clock > this.#clock.told) this.#clock = { told: clock, askedAt };
    this.#nodes.hear(living, unpublished);
  }

  #heartbeat(isLast = false): ScriptCall {
    const { nodes, run, clock, connections, layout, layoutVersion, unpublished } = this.#keys;
    const { told, askedAt } = this.#clock;
    const now = told === 0 ? 0 : Math.round(told + performance.now() - askedAt);
    this.#reported = isLast ? null : this.#load();
    const load = this.#reported === null ? '' : countOf(this.#reported);
    return {
      script: scripts.heartbeat,
      keys: [nodes, run, clock, connections, layout, unpublished],
      args: [this.#name, leaseMs, load, layoutVersion, now, isLast ? 'left' : this.#hasPublished ? '' : 'unpublished'],
    };
  }

  async #sendProbe(number: number): Promise<boolean | null> {
    const generation = this.#generation;
    // Whoever waits for a generation asks for it; this makes sure of it.
    if (generation === null && this.#publisher.isReady) this.#recovery.ask();
    if (generation === null || !this.#subscriber.isReady) return null;
    void this.#readOutputBuffer();
    const writer = new Writer();
    const text = Buffer.from(String(number));
    writeItem(writer, { encoding: 'json', bytes: text, start: 0, end: text.length });
    const entry = encodeEntry({ count: 1, bytes: writer.view() }, new Map());
    const oldest = this.#probeOffset > 1 ? this.#probeOffset : '';
    const { generation: generationKey, newestEpoch } = this.#keys;
    const [published] = await this.#publisher.evaluate([
      {
        script: this.#publishScript.current,
        keys: [generationKey, newestEpoch, this.#keys.probe(this.#name)],
        args: [generation.name, generation.floor, 1_000, '', '', oldest, probeStreamMs, 1, entry, '', 0],
      },
    ]);
    const answer = published instanceof Error ? published : (published as readonly unknown[])[0];
    // Whatever it is: it may refuse for another reason than the last time.
    this.#publisher.noteWrite(answer);
    if (published instanceof Error) {
      // Scripts were flushed, the state is another, or this is no master any more: asking finds out.
      if (this.#publisher.isReady && !isWriteRefusal(published)) this.#recovery.ask();
      return false;
    }
    if (answer instanceof Error) {
      this.#publisher.complain(answer);
      return false;
    }
    this.#probeOffset = parsePosition(String(answer))?.offset ?? 0;
    return true;
  }

  async #readOutputBuffer(): Promise<void> {
    const { clientId } = this.#subscriber;
    this.#outputBufferBytes = clientId === null ? 0 : await this.#publisher.outputBufferBytes(clientId);
  }

  #receiveProbe(message: Buffer): void {
    const entry = decodeEntry({ epoch: '', offset: 1 }, message.subarray(message.indexOf(space) + 1));
    if (entry !== null) this.#probe.receive(Number(Buffer.from(entry.run.bytes).toString('latin1', 1)));
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
    if (this.#generation === null || this.#clock.told === this.#turnedAt) return;
    this.#turnedAt = this.#clock.told;
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

/** What lua/heartbeat.lua returns. */
type BeatAnswer = readonly [
  living: readonly unknown[],
  clock: number,
  nodes: number,
  open: number,
  connections: number,
  unpublished: readonly unknown[],
];

function isBeatAnswer(beat: unknown): beat is BeatAnswer {
  return Array.isArray(beat);
}

/** As lua/heartbeat.lua takes it. */
function countOf({ connections, isFull }: Load): string {
  return isFull ? `+${connections}` : String(connections);
}

/** What all say, as this node looks at it: to itself it is a place for connections also where it is full. */
function spreadOf({ nodes, open, connections }: Omit<Spread, 'own'>, own: Load | null): Spread | null {
  if (own === null) return null;
  if (!own.isFull) return { nodes, open, connections, own: own.connections };
  return { nodes, open: open + 1, connections: connections + own.connections, own: own.connections };
}

function unavailable(isOutOfMemory: boolean): ReplyError {
  const why = isOutOfMemory ? 'is out of memory (maxmemory)' : 'does not respond';
  return new ReplyError('unavailable', `The other nodes are unreachable: Redis ${why}. Nothing was delivered.`);
}
