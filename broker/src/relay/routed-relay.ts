/**
 * The relay of many nodes through one or several Redis: gives each topic to the relay of the Redis that holds its
 * partition. A Redis that fails affects only its own topics.
 */
import type { Payload, Position, Topic } from '@fanfare/protocol';
import type { Partitions } from './partitions.js';
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
  /** The relay of each partition. */
  readonly #relays: readonly RedisRelay[];

  /** `units`: each once. `unitOf`: the index of the unit of a partition. */
  constructor(
    private readonly units: readonly RelayUnit[],
    private readonly partitions: Partitions,
    private readonly unitOf: (partition: number) => number,
    private readonly share: RelayShare,
  ) {
    this.#relays = Array.from({ length: partitions.count }, (_, partition) => this.#unit(unitOf(partition)).relay);
  }

  /** `connected` if any Redis is: its topics are served. */
  get state(): RelayState {
    const states = this.units.map(({ relay }) => relay.state);
    return states.includes('connected') ? 'connected' : (states[0] as RelayState);
  }

  get fault(): string | null {
    for (const { relay, shard } of this.units) {
      const { fault } = relay;
      if (fault !== null) return this.units.length === 1 ? fault : `${shard}: ${fault}`;
    }
    return null;
  }

  get shards(): readonly ShardStatus[] {
    const partitionsOf = this.units.map(() => 0);
    for (let partition = 0; partition < this.partitions.count; partition++) {
      const index = this.unitOf(partition);
      partitionsOf[index] = (partitionsOf[index] as number) + 1;
    }
    const shards = new Map<string, ShardStatus>();
    for (const [index, { relay, shard }] of this.units.entries()) {
      const before = shards.get(shard) ?? { name: shard, isConnected: true, partitions: 0 };
      const isConnected = before.isConnected && relay.state === 'connected';
      shards.set(shard, { name: shard, isConnected, partitions: before.partitions + (partitionsOf[index] as number) });
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
    return this.#of(topic).hasHistory(topic);
  }

  hasPublished(topic: Topic): boolean {
    return this.#of(topic).hasPublished(topic);
  }

  publish(topic: Topic, payload: Payload, id: ScopedId | null, receipt: Receipt | null, payer?: Payer | null): void {
    this.#of(topic).publish(topic, payload, id, receipt, payer);
  }

  subscribe(topic: Topic, since: Position | null): Promise<void> {
    return this.#of(topic).subscribe(topic, since);
  }

  subscribeResult(topic: Topic, since: Position | null): SubscribeResult {
    return this.#of(topic).subscribeResult(topic, since);
  }

  unsubscribe(topic: Topic): void {
    this.#of(topic).unsubscribe(topic);
  }

  history(topic: Topic, request: HistoryRequest): Promise<HistoryPage> {
    return this.#of(topic).history(topic, request);
  }

  topicInfo(topic: Topic): Promise<TopicInfo> {
    return this.#of(topic).topicInfo(topic);
  }

  /** One Redis after the other. The cursor is the index of a unit in it and, after a "-", the cursor of that Redis. */
  async topics(request: TopicsRequest): Promise<TopicsPage> {
    const [, text = '0', cursor = null] = /^(\d{1,4})-(\d{1,20})$/.exec(request.cursor ?? '0-0') ?? [];
    const index = Number(text);
    if (cursor === null || index >= this.units.length) throw unknownCursor();
    const { topics, next } = await this.#unit(index).relay.topics({ ...request, cursor });
    if (next !== null) return { topics, next: `${index}-${next}` };
    const seen = new Set(this.units.slice(0, index + 1).map(({ shard }) => shard));
    const following = this.units.findIndex(({ shard }, at) => at > index && !seen.has(shard));
    return { topics, next: following === -1 ? null : `${following}-0` };
  }

  async flush(): Promise<void> {
    await Promise.all(this.units.map(({ relay }) => relay.flush()));
  }

  async retire(): Promise<void> {
    await Promise.all(this.units.map(({ relay }) => relay.retire()));
  }

  async close(): Promise<void> {
    await Promise.all(this.units.map(({ relay }) => relay.close()));
    this.share.close();
  }

  #of(topic: Topic): RedisRelay {
    return this.#relays[this.partitions.of(topic)] as RedisRelay;
  }

  #unit(index: number): RelayUnit {
    return this.units[index] as RelayUnit;
  }
}
