/**
 * Where this node publishes and reads the topics of each partition, and how that changes with the map (shard-map.ts).
 * docs/decisions.md explains the steps of a move.
 */
import type { Topic } from '@fanfare/protocol';
import { type HeldCounters, HeldPublications } from './held-publications.js';
import type { Partitions } from './partitions.js';
import type { RedisRelay } from './redis-relay.js';
import type { ShardMap } from './shard-map.js';
import type { MapFollower } from './shard-maps.js';

export interface Place {
  /** The relay of the shard that serves the partition; null before this node knows the map. */
  relay: RedisRelay | null;
  /** During a move, the relay of the other shard: this node listens there too. */
  other: RedisRelay | null;
  /** While nothing may be published. */
  held: HeldPublications | null;
  /** The relay of the shard that the partition leaves: its histories there must not change any more. */
  frozen: RedisRelay | null;
  /** Whether everything that was sent before {@link held} has its outcome. */
  isSettled: boolean;
}

const nowhere: Place = { relay: null, other: null, held: null, frozen: null, isSettled: false };

/** Where partitions are. */
export interface Places {
  of(topic: Topic): Place;
  /** How many partitions each relay serves; relays that serve none are left out. */
  counts(): ReadonlyMap<RedisRelay, number>;
  /** Resolves when no publication waits here. */
  settled(): Promise<void>;
  /** Refuses what waits here. */
  close(): void;
}

/** Places that never change. */
export function fixedPlaces(partitions: Partitions, relayOf: (partition: number) => RedisRelay): Places {
  const places = Array.from({ length: partitions.count }, (_, partition): Place => {
    return { ...nowhere, relay: relayOf(partition) };
  });
  const counted = countsOf(places);
  return {
    of: (topic) => places[partitions.of(topic)] as Place,
    counts: () => counted,
    settled: async () => undefined,
    close: () => undefined,
  };
}

export class PartitionPlaces implements MapFollower, Places {
  readonly #places: readonly Place[];
  /** The newest map that this node knows. */
  #newest: ShardMap | null = null;

  /**
   * `relays`: by the names of the shards. All shards of each map must be among them. `onHome` is called with the shard
   * of partition 0, now and then another one: it also has what belongs to no topic. `version`: of the map in which it is
   * there to stay.
   */
  constructor(
    private readonly relays: ReadonlyMap<string, RedisRelay>,
    private readonly partitions: Partitions,
    private readonly counters: HeldCounters,
    private readonly onHome: (shard: string, version: number) => void,
  ) {
    this.#places = Array.from({ length: partitions.count }, () => ({ ...nowhere }));
  }

  of(topic: Topic): Place {
    return this.#places[this.partitions.of(topic)] as Place;
  }

  counts(): ReadonlyMap<RedisRelay, number> {
    return countsOf(this.#places);
  }

  halt(map: ShardMap): void {
    this.#newest = map;
    for (const [partition, place] of this.#places.entries()) {
      const isLeaving = place.relay !== null && place.relay !== this.#homeIn(map, partition);
      if (!isLeaving && !isHalted(map, partition)) continue;
      const { waiting } = (place.relay ?? this.#homeIn(map, partition)).part;
      place.held ??= new HeldPublications(waiting, this.counters, (topic) => place.relay?.lose(topic));
      const move = map.moves.get(partition);
      place.frozen = move === undefined ? place.relay : this.#relay(move.from);
    }
  }

  async settle(map: ShardMap): Promise<void> {
    await Promise.all(this.#places.map((place, partition) => this.#settleIn(place, partition, map)));
  }

  async apply(map: ShardMap): Promise<boolean> {
    const all = this.#places.map((place, partition) => this.#applyTo(place, partition, map));
    return (await Promise.all(all)).every((isComplete) => isComplete);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#places.map(({ held }) => held?.over));
  }

  close(): void {
    for (const { held } of this.#places) held?.refuse();
  }

  async #settleIn(place: Place, partition: number, map: ShardMap): Promise<void> {
    if (place.held === null) return;
    if (!place.isSettled) await place.relay?.settle();
    place.isSettled = true;
    // The old shard is about to refuse nodes with an older map, and so is the new one when it has the copy.
    const move = map.moves.get(partition);
    const shards = move === undefined ? [] : [this.#relay(move.from), this.#relay(move.to)];
    for (const relay of new Set([place.relay, this.#homeIn(map, partition), ...shards])) relay?.raiseFence(map.version);
  }

  /** Resolves with false if it must be repeated. */
  async #applyTo(place: Place, partition: number, map: ShardMap): Promise<boolean> {
    const home = this.#homeIn(map, partition);
    const move = map.moves.get(partition);
    const isOfPartition = (topic: Topic): boolean => this.partitions.of(topic) === partition;
    const other = move === undefined ? null : this.#relay(home === this.#relay(move.from) ? move.to : move.from);
    if (place.relay === null) this.#serve(place, partition, map);
    const before = place.relay ?? home;
    // The move was taken back, or is over.
    if (place.other !== null && place.other !== other && place.other !== home) place.other.end(isOfPartition);
    place.other = other;
    let isComplete = true;
    if (move?.from === map.shards[partition] && other !== null && before === home)
      isComplete = await other.listen(home.wanted(isOfPartition));
    if (before !== home) {
      const copy = move?.step === 'switch' ? (move.copy ?? null) : null;
      if (!(await this.#changeOver(before, home, isOfPartition, copy))) return false;
      this.#serve(place, partition, map);
      before.handOver(isOfPartition, home);
      if (other !== before) before.end(isOfPartition);
    }
    if (isHalted(map, partition)) return isComplete;
    if (partition === 0) this.onHome(map.shards[0] as string, map.version);
    // A newer map may halt it again.
    if (place.held === null || isHalted(this.#newest ?? map, partition)) return isComplete;
    const { held } = place;
    place.held = null;
    place.frozen = null;
    place.isSettled = false;
    held.release((...publication) => home.publish(...publication));
    home.compare();
    return isComplete;
  }

  /**
   * Resolves with false if that is not possible yet. `copy`: the recovery in which the new shard has the copy; null if
   * nodes publish there already.
   */
  async #changeOver(
    before: RedisRelay,
    home: RedisRelay,
    isOfPartition: (topic: Topic) => boolean,
    copy: string | null,
  ): Promise<boolean> {
    const isListening = await home.listen(before.wanted(isOfPartition));
    if (!isListening && copy !== null) return false;
    // The new shard may have lost the copy, or a part of it.
    if (!(await home.prove(before.published(isOfPartition), copy))) return false;
    // What others published in the old shard arrives before what they will publish in the new one.
    await before.readAll();
    return true;
  }

  #serve(place: Place, partition: number, map: ShardMap): void {
    place.relay = this.#homeIn(map, partition);
    const counts = this.counts();
    for (const relay of this.relays.values()) relay.part.partitions = counts.get(relay) ?? 0;
    // In the step `copy`, it is about to leave.
    const version = map.moves.get(0)?.step === 'copy' ? 0 : map.version;
    if (partition === 0) this.onHome(map.shards[0] as string, version);
  }

  #homeIn(map: ShardMap, partition: number): RedisRelay {
    return this.#relay(map.shards[partition] as string);
  }

  #relay(name: string): RedisRelay {
    const relay = this.relays.get(name);
    if (relay === undefined) throw new Error(`The map has an unknown shard ${name}.`);
    return relay;
  }
}

function countsOf(places: readonly Place[]): ReadonlyMap<RedisRelay, number> {
  const counts = new Map<RedisRelay, number>();
  for (const { relay } of places) if (relay !== null) counts.set(relay, (counts.get(relay) ?? 0) + 1);
  return counts;
}

/** Whether nobody may publish to the partition. */
function isHalted({ moves }: ShardMap, partition: number): boolean {
  const step = moves.get(partition)?.step;
  return step === 'copy' || step === 'switch';
}
