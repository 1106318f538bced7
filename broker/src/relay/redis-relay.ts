/**
 * The relay of many nodes, through Redis. This file carries out the contract ({@link Relay}) and connects the parts;
 * each part has its own file. Publications leave through {@link LevelPublishers} and arrive through {@link Receiver}.
 * {@link Membership} and its probe check that Redis delivers. {@link Recovery} checks that Redis still has its data.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { KeyedPayload, Position, Topic } from '@fanfare/protocol';
import type { Log } from '../observe/log.js';
import {
  type LinksOwner,
  maxChannelsPerCommand,
  type PublishingLink,
  type RedisCounters,
  type ScriptCall,
  type Wait,
} from '../redis/redis.js';
import { type BeaconCounters, Beacons } from './beacons.js';
import { FastPublisher, type FastPublisherCounters } from './fast-publisher.js';
import { noHistory, noHistoryError } from './history.js';
import { HistoryPublisher, type HistoryPublisherCounters, type HistoryPublisherSettings } from './history-publisher.js';
import { HistoryReader } from './history-reader.js';
import { Interest, type InterestSettings, maxLingeringTopics } from './interest.js';
import type { Keys } from './keys.js';
import { KnownNodes } from './known-nodes.js';
import { LevelPublishers, type LevelPublishersCounters, type LevelPublishersSettings } from './level-publishers.js';
import { MapLease } from './map-lease.js';
import { Membership, type MembershipSettings } from './membership.js';
import type { MemoryTimes } from './memory-times.js';
import { Probe, type ProbeCounters } from './probe.js';
import { type LoggedTopic, PublishLog } from './publish-log.js';
import { PublishScript } from './publish-script.js';
import { Receiver, type ReceiverCounters } from './receiver.js';
import { Recovery, type RecoveryCounters, type RecoverySettings } from './recovery.js';
import type {
  HistoryPage,
  HistoryRequest,
  Load,
  LocalSubscribers,
  Payer,
  PublishTracer,
  Receipt,
  Relay,
  RelayState,
  Spread,
  SubscribeResult,
  TopicInfo,
  TopicsPage,
  TopicsRequest,
} from './relay.js';
import type { RelayLinks } from './relay-links.js';
import type { RelayPart, RelayShareSettings } from './relay-share.js';
import { RelayStatus } from './relay-status.js';
import { Restorer, type RestorerSettings } from './restorer.js';
import type { ScopedId } from './scoped-id.js';
import { callScript, scripts } from './scripts.js';
import { formatMap, parseMap, type ShardMap } from './shard-map.js';
import type { StoredMap } from './shard-maps.js';
import { SubscriberCounts } from './subscriber-counts.js';
import type { FeedCounters, TopicFeed } from './topic-feed.js';
import { TopicFeeds } from './topic-feeds.js';
import { TopicList } from './topic-list.js';
import { TopicStates } from './topic-state.js';

export interface RedisRelaySettings
  extends RelayShareSettings,
    Omit<InterestSettings, 'maxTopicsPerCommand' | 'maxLingeringTopics'>,
    LevelPublishersSettings,
    HistoryPublisherSettings,
    MembershipSettings,
    RecoverySettings,
    RestorerSettings {
  /** The id by which the other nodes know this one: {@link newNodeId}. */
  readonly nodeId: string;
  readonly durableReplicas: number;
  readonly durableTimeoutMs: number;
  readonly memoryTimes: MemoryTimes;
}

export interface RedisRelayCounters
  extends RedisCounters,
    LevelPublishersCounters,
    FastPublisherCounters,
    HistoryPublisherCounters,
    FeedCounters,
    ProbeCounters,
    BeaconCounters,
    ReceiverCounters,
    RecoveryCounters {}

/** The map of partitions, as a relay needs it that shares the topics of a node with others. */
export interface MapSource {
  /** Whether the topic is about to leave this relay: its history must not change any more. Absent if none ever leaves. */
  isFrozen?(topic: Topic): boolean;
  /**
   * Compares the map that this node knows with that of the relay's Redis. Resolves with the version that the node works
   * according to. Rejects if Redis does not respond.
   */
  learn(): Promise<number>;
}

/** {@link Relay}, for the topics of one generation. */
export class RedisRelay implements Omit<Relay, 'flushWindowMs' | 'shards'> {
  readonly #links: RelayLinks;
  readonly #interest: Interest;
  readonly #publishers: LevelPublishers;
  readonly #feeds: TopicFeeds;
  readonly #publishLog: PublishLog;
  readonly #nodes = new KnownNodes();
  readonly #membership: Membership;
  readonly #fast: FastPublisher;
  readonly #restorer: Restorer;
  readonly #recovery: Recovery;
  readonly #beacons: Beacons;
  readonly #reader: HistoryReader;
  readonly #subscriberCounts: SubscriberCounts;
  readonly #topicList: TopicList;
  readonly #status: RelayStatus;
  readonly #states: TopicStates;

  /**
   * `openLinks` opens the connections. `load`: the load of this node; null while it stops.
   * `maps`: null in a Redis Cluster.
   */
  constructor(
    private readonly settings: RedisRelaySettings,
    private readonly keys: Keys,
    openLinks: (owner: LinksOwner) => RelayLinks,
    readonly part: RelayPart,
    delivery: LocalSubscribers,
    log: Log,
    counters: RedisRelayCounters,
    load: () => Load | null,
    tracer: PublishTracer | null = null,
    maps: MapSource | null = null,
  ) {
    const nodeId = Buffer.from(settings.nodeId, 'hex');
    const states = new TopicStates(settings.topics);
    this.#states = states;
    this.#publishLog = new PublishLog(settings.memoryTimes, part);
    const leaseMs = maps?.isFrozen === undefined ? Number.POSITIVE_INFINITY : settings.memoryTimes.toleratedLossMs;
    const lease = new MapLease(leaseMs);

    const links = openLinks({
      get provenAt() {
        return probe.provenAt;
      },
      onPublisherReady: () => {
        fast.announceGaps();
        recovery.ask();
      },
      onPublisherLost: () => recovery.suspend(),
      onSubscriberReady: () => {
        this.#membership.listen();
        this.#interest.onReady();
      },
      onSubscriberLost: () => {
        this.#membership.onLost();
        this.#interest.onLost();
      },
      onMessage: (message) => {
        const { bytes, channelStart, channelEnd, start, end } = message;
        const topic = keys.topicOf(bytes, channelStart, channelEnd);
        if (topic !== null) return receiver.receive(topic, message);
        const content = bytes.subarray(start, end);
        switch (bytes.toString('latin1', channelStart, channelEnd)) {
          case keys.control:
            return this.#membership.onControl(content);
          case keys.questions:
            return this.#subscriberCounts.onQuestion(content);
          case keys.answers(settings.nodeId):
            return this.#subscriberCounts.onAnswer(content);
          default:
            probe.onReturn(content);
            // Redis may have refused publications for a moment without closing the connection.
            fast.announceGaps();
        }
      },
    });
    const { publisher, subscriber, durable: durableLink } = links;
    this.#links = links;

    // Listening to topics.
    this.#interest = new Interest(
      states,
      {
        isReady: () => subscriber.isReady,
        isServing: () => subscriber.isReady && recovery.generation !== null,
        subscribe: (topics) => subscriber.subscribe(topics.map((topic) => keys.topic(topic))),
        unsubscribe: (topics) => subscriber.unsubscribe(topics.map((topic) => keys.topic(topic))),
      },
      {
        ...settings,
        maxTopicsPerCommand: maxChannelsPerCommand,
        get maxLingeringTopics() {
          return part.topics(maxLingeringTopics);
        },
      },
      (state) => (state.hasHistory ? this.#feeds.onBack(state) : receiver.notifyGap(state.topic)),
    );

    // The generation of Redis, and the other nodes.
    const publishScript = new PublishScript(publisher, keys);
    const restorer = new Restorer(settings, publisher, keys, this.#nodes.clock, states, this.#publishLog);
    const recovery = new Recovery(
      settings,
      publisher,
      keys,
      restorer,
      publishScript,
      this.#nodes,
      {
        isListening: () => subscriber.isReady && this.#interest.isComplete,
        isOnControlChannel: () => this.#membership.isListening,
        learnMap: async () => {
          if (maps === null) return Number.POSITIVE_INFINITY;
          const askedAt = performance.now();
          const version = await maps.learn();
          lease.renew(askedAt);
          return version;
        },
        onRecovering: (askedAt) => lease.renew(askedAt),
        onSuspended: () => probe.interrupt(),
        onServing: (change) => {
          this.#feeds.onServing(change);
          this.#membership.onServing(change);
        },
      },
      log,
      counters,
    );
    const receiver = new Receiver(nodeId, states, this.#interest, delivery, recovery, log, counters);
    const probe = new Probe(
      settings,
      publisher,
      {
        onSent: () => void links.measureOutputBuffer(),
        onStale: () => recovery.ask(),
        onDead: (reason, since) => links.replace(reason, since),
      },
      log,
      counters,
    );
    this.#recovery = recovery;
    this.#restorer = restorer;
    const otherLinks = durableLink === null ? [] : [durableLink];
    this.#membership = new Membership(
      settings,
      keys,
      publisher,
      otherLinks,
      subscriber,
      recovery,
      probe,
      this.#nodes,
      load,
      lease,
      () => {
        // If this fails, recovery asks until it succeeds.
        maps?.learn().catch(() => recovery.ask());
      },
      part.timers,
    );
    this.#status = new RelayStatus({ links, interest: this.#interest, generations: recovery, probe, lease });

    this.#reader = new HistoryReader(publisher, recovery, keys, settings.topics, maps?.isFrozen);
    this.#feeds = new TopicFeeds(states, part.cache, this.#reader, delivery, log, counters, part.timers);

    // What can be asked about topics.
    this.#subscriberCounts = new SubscriberCounts(settings.nodeId, publisher, keys, this.#nodes, (topic) =>
      delivery.subscribersOf(topic),
    );
    this.#topicList = new TopicList(publisher, keys);

    // Publishing.
    const historyPublisher = (link: PublishingLink, wait: Wait | null): HistoryPublisher =>
      new HistoryPublisher(
        link,
        keys,
        settings,
        counters,
        this.#publishLog,
        publishScript,
        wait,
        recovery,
        tracer,
        part,
      );
    const fast = new FastPublisher(nodeId, publisher, keys, delivery, counters, part, lease, maps?.isFrozen);
    this.#fast = fast;
    const recoverable = historyPublisher(publisher, null);
    const durable = historyPublisher(durableLink ?? publisher, {
      replicas: settings.durableReplicas,
      timeoutMs: settings.durableTimeoutMs,
    });
    this.#publishers = new LevelPublishers(
      settings,
      { fast, recoverable, durable },
      this.#status,
      this.#membership,
      counters,
      part,
      tracer !== null,
    );
    this.#beacons = new Beacons(
      settings,
      this.#publishLog,
      publisher,
      keys,
      recovery,
      this.#nodes.clock,
      counters,
      part.timers,
    );
  }

  get state(): RelayState {
    return this.#status.state;
  }

  /** Whether Redis was complete at any time since the start. */
  get hasServed(): boolean {
    return this.#recovery.hasServed;
  }

  /** See {@link RelayLinks.master}. */
  get master(): string | null {
    return this.#links.master;
  }

  get fault(): string | null {
    return this.#links.fault ?? this.#recovery.fault;
  }

  get nodes(): number {
    return this.#nodes.count;
  }

  get spread(): Spread | null {
    return this.state === 'connected' ? this.#membership.spread : null;
  }

  get redisOutputBufferBytes(): number {
    return this.#links.outputBufferBytes;
  }

  publish(
    topic: Topic,
    payload: KeyedPayload,
    id: ScopedId | null,
    receipt: Receipt | null,
    payer: Payer | null = null,
  ): void {
    this.#publishers.add(topic, payload, id, receipt, payer);
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
    return this.#feeds.page(topic, request);
  }

  async topicInfo(topic: Topic): Promise<TopicInfo> {
    const [position, subscribers] = await Promise.all([
      this.hasHistory(topic) ? this.#reader.position(topic) : null,
      this.#subscriberCounts.of(topic),
    ]);
    return { level: this.settings.topics.of(topic).level, position, subscribers };
  }

  topics(request: TopicsRequest): Promise<TopicsPage> {
    return this.#topicList.page(request);
  }

  async flush(): Promise<void> {
    await this.#publishers.flush();
  }

  async retire(): Promise<void> {
    await this.flush();
    const { leaseMs } = this.settings.memoryTimes;
    while (this.#publishLog.idleMs < leaseMs) await delay(Math.max(1, leaseMs - this.#publishLog.idleMs));
  }

  async close(): Promise<void> {
    await this.flush();
    this.#status.close();
    this.#beacons.close();
    if (this.#publishLog.idleMs >= this.settings.memoryTimes.leaseMs) await this.#membership.leave();
    this.#membership.close();
    this.#recovery.close();
    this.#feeds.close();
    this.#interest.close();
    await this.#links.close();
  }

  /** The topics that somebody here wants. */
  wanted(isMeant: (topic: Topic) => boolean): readonly Topic[] {
    return this.#interest.wanted(isMeant).map(({ topic }) => topic);
  }

  isWanted(topic: Topic): boolean {
    return this.#states.get(topic)?.isWanted === true;
  }

  /** Listens to topics that another relay of this node serves. Resolves with whether Redis has confirmed all. */
  async listen(topics: readonly Topic[]): Promise<boolean> {
    const results = await Promise.allSettled(topics.map((topic) => this.#interest.want(topic)));
    return this.#links.subscriber.isReady && results.every(({ status }) => status === 'fulfilled');
  }

  /** Listens no longer to these topics: another relay of this node serves them. */
  end(isMeant: (topic: Topic) => boolean): void {
    this.#interest.end(isMeant);
  }

  /** Resolves when everything was read that Redis has sent to this node up to now. */
  async readAll(): Promise<void> {
    // Redis confirms the channel after what it has sent before. A lost connection has nothing more to read.
    await this.#links.subscriber.subscribe([this.keys.control]).catch(() => undefined);
  }

  /** A publication was refused that nobody waits for. Topics with history promise nothing about it. */
  lose(topic: Topic): void {
    if (!this.hasHistory(topic)) this.#fast.lose(topic);
  }

  /** Resolves when everything that was sent to Redis so far has its outcome: publications, and requests that read. */
  async settle(): Promise<void> {
    await Promise.all([this.flush(), this.#reader.settled()]);
  }

  /** What this node has published to topics recently. */
  published(isMeant: (topic: Topic) => boolean): readonly LoggedTopic[] {
    return [...this.#restorer.provable()].filter(({ topic }) => isMeant(topic));
  }

  /**
   * Asks Redis for its generation, and whether it holds publications that this node has made elsewhere. If one is
   * missing, its topic gets another epoch. Resolves with false if Redis does not answer, or if the generation did not
   * begin in `recovery` (null: in any).
   */
  async prove(published: readonly LoggedTopic[], recovery: string | null): Promise<boolean> {
    if (!(await this.#recovery.confirm())) return false;
    const { generation } = this.#recovery;
    if (generation === null || (recovery !== null && generation.recovery !== recovery)) return false;
    return this.#restorer.prove(generation.minEpoch, published).then(
      () => true,
      () => false,
    );
  }

  /** Compares the topics that are in doubt with Redis. */
  compare(): void {
    this.#feeds.check();
  }

  /** Gives topics to another relay of this node, which listens to them: their feeds, and what was published to them. */
  handOver(isMoved: (topic: Topic) => boolean, to: RedisRelay): void {
    for (const state of this.#interest.wanted(isMoved)) {
      const { feed } = state;
      state.feed = null;
      to.#adopt(state.topic, feed, state.listening === 'confirmed' && !state.wasLost);
    }
    // The other nodes must know that the other Redis may lose publications of this node.
    if (this.#publishLog.handOver(isMoved, to.#publishLog)) to.#membership.announcePublishing();
    this.#fast.handOver(isMoved, to.#fast);
  }

  /** `isCertain`: the other relay has delivered everything up to now. */
  #adopt(topic: Topic, feed: TopicFeed | null, isCertain: boolean): void {
    const state = this.#states.getOrCreate(topic);
    if (feed !== null) {
      state.feed?.forget();
      state.feed = feed;
      this.#feeds.adopt(feed);
    }
    this.#interest.adopt(state, isCertain);
    this.#feeds.check();
  }

  /** See {@link Recovery.raiseFence}. */
  raiseFence(fence: number): void {
    this.#recovery.raiseFence(fence);
  }

  /** See MappedShard (shard-maps.ts). */
  async exchangeMap(known: ShardMap | null): Promise<StoredMap> {
    const { map, mapLock, control, layout } = this.keys;
    const args = [known === null ? '' : formatMap(known), known?.version ?? 0, ''];
    const answer = await this.#call({ script: scripts.map, keys: [map, mapLock, control, layout], args });
    const [text, isUsed, server] = answer as readonly [Buffer, number, Buffer];
    return {
      map: text.length === 0 ? null : parseMap(text.toString()),
      isUsed: isUsed === 1,
      server: server.toString('latin1'),
    };
  }

  /** See MappedShard (shard-maps.ts). */
  async reportMap(version: number): Promise<void> {
    const { mapApplied, nodes, clock } = this.keys;
    await this.#call({
      script: scripts.report,
      keys: [mapApplied, nodes, clock],
      args: [this.settings.nodeId, version],
    });
  }

  async #call(call: ScriptCall): Promise<unknown> {
    const answer = await callScript(this.#links.publisher, call);
    if (answer instanceof Error) throw answer;
    return answer;
  }

  hasHistory(topic: Topic): boolean {
    return this.settings.topics.of(topic).level !== 'fast';
  }

  hasPublished(topic: Topic): boolean {
    return this.#publishers.hasPublished(topic);
  }
}
