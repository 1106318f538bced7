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
}

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
    return { relay: relayOf(partition), other: null, held: null };
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

  /**
   * `relays`: by the names of the shards. All shards of each map must be among them. `onHome` is called with the shard
   * of partition 0, now and then another one: it also has what belongs to no topic.
   */
  constructor(
    private readonly relays: ReadonlyMap<string, RedisRelay>,
    private readonly partitions: Partitions,
    private readonly counters: HeldCounters,
    private readonly onHome: (shard: string) => void,
  ) {
    this.#places = Array.from({ length: partitions.count }, () => ({ relay: null, other: null, held: null }));
  }

  of(topic: Topic): Place {
    return this.#places[this.partitions.of(topic)] as Place;
  }

  counts(): ReadonlyMap<RedisRelay, number> {
    return countsOf(this.#places);
  }

  halt(map: ShardMap): void {
    for (const [partition, place] of this.#places.entries()) {
      const isLeaving = place.relay !== null && place.relay !== this.#homeIn(map, partition);
      if (!isLeaving && !isHalted(map, partition)) continue;
      const { waiting } = (place.relay ?? this.#homeIn(map, partition)).part;
      place.held ??= new HeldPublications(waiting, this.counters);
    }
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

  async #applyTo(place: Place, partition: number, map: ShardMap): Promise<boolean> {
    const home = this.#homeIn(map, partition);
    const move = map.moves.get(partition);
    const isOfPartition = (topic: Topic): boolean => this.partitions.of(topic) === partition;
    const other = move === undefined ? null : this.#relay(home === this.#relay(move.from) ? move.to : move.from);
    if (place.relay === null) this.#serve(place, partition, map);
    const before = place.relay ?? home;
    // The move was taken back, or is over.
    if (place.other !== null && place.other !== other && place.other !== home) place.other.release(isOfPartition);
    place.other = other;
    let isComplete = true;
    if (other !== null && before === home) isComplete = await other.listen(home.wanted(isOfPartition));
    if (before !== home || isHalted(map, partition)) {
      // Everything that was sent has its outcome before the old shard refuses this node, and before another node
      // publishes in the new one.
      await before.flush();
      before.raiseFence(map.version);
    }
    if (before !== home) {
      await home.listen(before.wanted(isOfPartition));
      // What others published in the old shard arrives before what they will publish in the new one.
      await before.readAll();
      this.#serve(place, partition, map);
      before.handOver(isOfPartition, home);
      if (other !== before) before.release(isOfPartition);
    }
    if (place.held !== null && !isHalted(map, partition)) {
      const { held } = place;
      place.held = null;
      held.release((...publication) => home.publish(...publication));
    }
    return isComplete;
  }

  #serve(place: Place, partition: number, map: ShardMap): void {
    place.relay = this.#homeIn(map, partition);
    const counts = this.counts();
    for (const relay of this.relays.values()) relay.part.partitions = counts.get(relay) ?? 0;
    if (partition === 0) this.onHome(map.shards[0] as string);
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
