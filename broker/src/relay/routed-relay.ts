/**
 * The relay of many nodes through one or several Redis: gives each topic to the relay of the Redis that holds its
 * partition. A Redis that fails affects only its own topics.
 */
import { type KeyedPayload, type Position, ReplyError, type Topic } from '@fanfare/protocol';
import type { Place, Places } from './partition-places.js';
import type { RedisRelay } from './redis-relay.js';
import type {
  HistoryPage,
  HistoryRequest,
  Payer,
  Receipt,
  Relay,
  RelayState,
  ShardStatus,
  Spread,
  SubscribeResult,
  TopicInfo,
  TopicsPage,
  TopicsRequest,
} from './relay.js';
import type { RelayShare } from './relay-share.js';
import type { ScopedId } from './scoped-id.js';
import { unknownCursor } from './topic-list.js';

/** How long a node that starts waits for a Redis before it serves the topics of the others, in milliseconds. */
const startMs = 2_500;

/** The name of the Redis that holds a partition of a Redis Cluster, as long as none is known. */
export const unknownShard = 'unknown';

/** A relay, and the Redis that holds its topics. */
export interface RelayUnit {
  readonly relay: RedisRelay;
  /**
   * The name of its Redis; changes if a partition of a Redis Cluster moves. Units of the same name are in the same
   * server.
   */
  readonly shard: string;
}

export class RoutedRelay implements Relay {
  readonly #openedAt = performance.now();

  /** `units`: each once. `mapFault`: why this node does not know where topics are, in a sentence; null if it does. */
  constructor(
    private readonly units: readonly RelayUnit[],
    private readonly places: Places,
    private readonly share: RelayShare,
    private readonly mapFault: () => string | null = () => null,
  ) {}

  /**
   * `connected` if any Redis with topics is: they are served. A node that starts waits for all, but no longer than
   * {@link startMs}. Otherwise the state of the Redis that `fault` is about.
   */
  get state(): RelayState {
    const states = this.#serving.map(({ relay }) => relay.state);
    if (this.mapFault() !== null && !states.includes('closed')) return 'mapFault';
    if (states.includes('connected') && !this.#isStarting) return 'connected';
    return this.#failing?.relay.state ?? 'connected';
  }

  /** The units with topics; all, if it is not known where topics are. */
  get #serving(): readonly RelayUnit[] {
    const counts = this.places.counts();
    const serving = this.units.filter(({ relay }) => counts.has(relay));
    return serving.length === 0 ? this.units : serving;
  }

  /** A Redis with topics that cannot be used: if possible, one whose fault is known. */
  get #failing(): RelayUnit | undefined {
    const failing = this.#serving.filter(({ relay }) => relay.state !== 'connected');
    return failing.find(({ relay }) => relay.fault !== null) ?? failing[0];
  }

  /** Whether this node still waits for a Redis that holds topics. */
  get #isStarting(): boolean {
    if (performance.now() - this.#openedAt > startMs) return false;
    const counts = this.places.counts();
    return !this.units.every(({ relay }) => relay.hasServed || !counts.has(relay));
  }

  get fault(): string | null {
    const mapFault = this.mapFault();
    if (mapFault !== null) return mapFault;
    const failing = this.#failing;
    return failing === undefined ? null : this.#faultOf(failing);
  }

  /** With several Redis, the sentence begins with the name of this one. */
  #faultOf({ relay: { fault }, shard }: RelayUnit): string | null {
    return fault === null || this.units.length === 1 || shard === unknownShard ? fault : `${shard}: ${fault}`;
  }

  get shards(): readonly ShardStatus[] {
    const shards = new Map<string, ShardStatus>();
    const counts = this.places.counts();
    for (const unit of this.units) {
      const { relay, shard } = unit;
      const before = shards.get(shard) ?? { isConnected: true, partitions: 0, unavailable: 0, fault: null };
      const [isConnected, partitions] = [relay.state === 'connected', counts.get(relay) ?? 0];
      shards.set(shard, {
        name: shard,
        isConnected: before.isConnected && isConnected,
        partitions: before.partitions + partitions,
        unavailable: before.unavailable + (isConnected ? 0 : partitions),
        fault: before.fault ?? (isConnected ? null : this.#faultOf(unit)),
      });
    }
    return [...shards.values()];
  }

  get nodes(): number {
    return Math.max(...this.units.map(({ relay }) => relay.nodes));
  }

  get spread(): Spread | null {
    for (const { relay } of this.units) if (relay.spread !== null) return relay.spread;
    return null;
  }

  get redisOutputBufferBytes(): number {
    return Math.max(...this.units.map(({ relay }) => relay.redisOutputBufferBytes));
  }

  get flushWindowMs(): number {
    return this.share.window.ms;
  }

  hasHistory(topic: Topic): boolean {
    return this.#unit(0).relay.hasHistory(topic);
  }

  hasPublished(topic: Topic): boolean {
    return this.places.of(topic).relay?.hasPublished(topic) ?? false;
  }

  publish(
    topic: Topic,
    payload: KeyedPayload,
    id: ScopedId | null,
    receipt: Receipt | null,
    payer: Payer | null = null,
  ): void {
    const { held, relay } = this.places.of(topic);
    if (held !== null) return held.add(topic, payload, id, receipt, payer);
    if (relay === null) throw this.#unavailable();
    relay.publish(topic, payload, id, receipt, payer);
  }

  /** Begins in this turn: an `unsubscribe` may follow at once. */
  async subscribe(topic: Topic, since: Position | null): Promise<void> {
    const place = this.places.of(topic);
    // The other shard of a move. What is missed there is found when the topic has moved.
    place.other?.listen([topic]).catch(() => undefined);
    if (place.held !== null) {
      // While nothing may be published, no history may begin either.
      place.relay?.listen([topic]).catch(() => undefined);
      await place.held.over;
      this.#checkWanted(place, topic);
    }
    for (;;) {
      const { relay } = place;
      if (relay === null) throw this.#unavailable();
      try {
        await relay.subscribe(topic, since);
      } catch (error) {
        if (relay === place.relay) throw error;
      }
      if (relay === place.relay) return;
      // The partition has moved meanwhile.
      this.#checkWanted(place, topic);
    }
  }

  subscribeResult(topic: Topic, since: Position | null): SubscribeResult {
    const { relay } = this.places.of(topic);
    if (relay === null) throw this.#unavailable();
    return relay.subscribeResult(topic, since);
  }

  unsubscribe(topic: Topic): void {
    const { relay, other } = this.places.of(topic);
    relay?.unsubscribe(topic);
    other?.unsubscribe(topic);
  }

  async history(topic: Topic, request: HistoryRequest): Promise<HistoryPage> {
    return (await this.#served(this.places.of(topic))).history(topic, request);
  }

  async topicInfo(topic: Topic): Promise<TopicInfo> {
    return (await this.#served(this.places.of(topic))).topicInfo(topic);
  }

  /** One Redis after the other. The cursor is the index of a unit in it and, after a "-", the cursor of that Redis. */
  async topics(request: TopicsRequest): Promise<TopicsPage> {
    const [, text = '0', cursor = null] = /^(\d{1,4})-(\d{1,20})$/.exec(request.cursor ?? '0-0') ?? [];
    const index = Number(text);
    if (cursor === null || index >= this.units.length) throw unknownCursor();
    const { relay, shard } = this.#unit(index);
    const { topics: found, next } = await relay.topics({ ...request, cursor });
    // A master of a Redis Cluster has the topics of many units.
    const relays = new Set(this.units.flatMap((unit) => (unit.shard === shard ? [unit.relay] : [])));
    // During a move, both shards have the topics of the partition.
    const topics = found.filter((topic) => {
      const { relay: owner } = this.places.of(topic);
      return owner !== null && relays.has(owner);
    });
    if (next !== null) return { topics, next: `${index}-${next}` };
    const seen = new Set(this.units.slice(0, index + 1).map(({ shard }) => shard));
    const following = this.units.findIndex(({ shard }, at) => at > index && !seen.has(shard));
    return { topics, next: following === -1 ? null : `${following}-0` };
  }

  async flush(): Promise<void> {
    await this.places.settled();
    await Promise.all(this.units.map(({ relay }) => relay.flush()));
  }

  async retire(): Promise<void> {
    await Promise.all(this.units.map(({ relay }) => relay.retire()));
  }

  async close(): Promise<void> {
    this.places.close();
    await Promise.all(this.units.map(({ relay }) => relay.close()));
    this.share.close();
  }

  /**
   * The relay of a partition. While nothing may be published, no history may begin either: waits for a moment. Rejects
   * with ReplyError if it is not known.
   */
  async #served(place: Place): Promise<RedisRelay> {
    if (place.held !== null) await place.held.over;
    if (place.relay === null) throw this.#unavailable();
    return place.relay;
  }

  /** Throws if the topic was unsubscribed while its `subscribe` waited: it must not be listened to again. */
  #checkWanted({ relay }: Place, topic: Topic): void {
    if (relay?.isWanted(topic) !== true) throw this.#unavailable();
  }

  #unavailable(): ReplyError {
    return new ReplyError(
      'unavailable',
      'This node does not know which Redis has the topic. Nothing was delivered. Retry.',
    );
  }

  #unit(index: number): RelayUnit {
    return this.units[index] as RelayUnit;
  }
}
