/**
 * The map of partitions as this node knows it. It reads the map of a shard after each new connection, when it is
 * notified of a change, and before it publishes in a new generation. The newest one counts; the node writes it to shards
 * that have an older one. `fanfare shards` makes new ones.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../observe/log.js';
import { firstMap, formatMap, mapOfOne, newestMap, type ShardMap, ShardMapError, shardsOf } from './shard-map.js';
import { withNamesOf } from './shard-names.js';

/** What a shard has. */
export interface StoredMap {
  /** Null if none. */
  readonly map: ShardMap | null;
  /** Whether nodes have used the shard before. */
  readonly isUsed: boolean;
  /** The run id of the server. */
  readonly server: string;
}

/** A shard, as this file needs it. */
export interface MappedShard {
  readonly name: string;
  /** What is wrong with its connections, in a sentence; null if nothing was found wrong recently. */
  readonly fault: string | null;
  /** Writes `known` if it is newer than the map of the shard. Rejects if the shard does not respond. */
  exchangeMap(known: ShardMap | null): Promise<StoredMap>;
  /** Records which version this node has applied. Rejects like {@link exchangeMap}. */
  reportMap(version: number): Promise<void>;
}

/** Follows the map, in which shards have the names that FANFARE_REDIS_URL of this node gives them. */
export interface MapFollower {
  /** From now on, what the map does not permit any more is not begun. */
  halt(map: ShardMap): void;
  /** Resolves when everything that the map does not permit has its outcome. */
  settle(map: ShardMap): Promise<void>;
  /**
   * Resolves when this node works according to the map; with false if it cannot fully do so now. Can be repeated. Call
   * {@link settle} first.
   */
  apply(map: ShardMap): Promise<boolean>;
}

/** How long a starting node may lack a shard before that is logged, in milliseconds. */
const startMs = 3_000;
/** Pause before a map is applied again, in milliseconds. */
const retryMs = 100;

export class ShardMaps {
  readonly #openedAt = performance.now();
  #map: ShardMap | null = null;
  /** The version according to which everything has its outcome that it does not permit. */
  #settled = 0;
  /** The version that was applied last. */
  #applied = 0;
  #isApplying = false;
  #isClosed = false;
  /** What keeps this node from following the map, in sentences, by the shard that was asked last. */
  readonly #faults = new Map<string, string>();
  /** While this node looks for the first map, or makes it. */
  #beginning: Promise<void> | null = null;
  /** The run ids of the servers, by the names of the shards. */
  readonly #servers = new Map<string, string>();

  constructor(
    private readonly shards: readonly MappedShard[],
    private readonly partitions: number,
    private readonly follower: MapFollower,
    private readonly log: Log,
  ) {}

  /** Why this node cannot follow the map, in a sentence; null if it can. */
  get fault(): string | null {
    const [fault = null] = this.#faults.values();
    return fault;
  }

  /**
   * Compares the map with that of a shard. Resolves with the version that this node works according to: everything that
   * it does not permit has its outcome. Rejects if the shard does not respond, or if this node cannot follow the map.
   */
  async learn(shard: MappedShard): Promise<number> {
    try {
      const { map } = await this.#exchange(shard, this.#map);
      if (map !== null) this.#learn(map);
      else if (this.#map === null) {
        this.#beginning ??= this.#begin().finally(() => {
          this.#beginning = null;
        });
        await this.#beginning;
      }
      this.#faults.delete(shard.name);
      // It did not respond when this node applied the map, or has lost the record since.
      if (this.#applied > 0) await this.#reportTo(shard);
    } catch (error) {
      if (error instanceof ShardMapError) this.#report(shard.name, error.message);
      throw error;
    }
    return this.#settled;
  }

  close(): void {
    this.#isClosed = true;
  }

  /** No shard that was asked has a map. Only all shards together show where the data is. */
  async #begin(): Promise<void> {
    const stored = await Promise.all(
      this.shards.map((shard) =>
        this.#exchange(shard, null).catch((error: Error) => {
          if (error instanceof ShardMapError) throw error;
          throw new ShardMapError(
            `There is no map of partitions yet, and ${shard.name} cannot be used. It may have data, so this node waits for it. ${shard.fault ?? 'It does not respond.'}`,
          );
        }),
      ),
    );
    const map = newestMap(stored.flatMap(({ map }) => map ?? [])) ?? this.#firstMap(stored);
    const written = await Promise.all(this.shards.map((shard) => this.#exchange(shard, map)));
    // Another node may have written one at the same time.
    this.#learn(newestMap(written.flatMap(({ map }) => map ?? [])) as ShardMap);
  }

  /** Like {@link MappedShard.exchangeMap}. A {@link ShardMapError} names the shard. */
  async #exchange(shard: MappedShard, known: ShardMap | null): Promise<StoredMap> {
    const stored = await shard.exchangeMap(known).catch((error: Error) => {
      throw error instanceof ShardMapError ? new ShardMapError(`${shard.name}: ${error.message}`) : error;
    });
    this.#servers.set(shard.name, stored.server);
    checkServers(
      this.shards.flatMap(({ name }) => {
        const server = this.#servers.get(name);
        return server === undefined ? [] : [[name, server] as const];
      }),
    );
    return stored;
  }

  #firstMap(stored: readonly StoredMap[]): ShardMap {
    const names = this.shards.map(({ name }) => name);
    const used = names.filter((_, index) => stored[index]?.isUsed);
    const [only] = used;
    if (used.length > 1)
      throw new ShardMapError(
        `Several shards have data, but no map of partitions: ${used.join(', ')}. Were they brokers of their own? Keep one of them, and give the others a new FANFARE_REDIS_PREFIX or empty them.`,
      );
    return only === undefined ? firstMap(names, this.partitions) : mapOfOne(only, this.partitions);
  }

  #learn(map: ShardMap): void {
    if (this.#map !== null && map.version < this.#map.version) return;
    if (newestMap([...(this.#map === null ? [] : [this.#map]), map]) === this.#map) return;
    this.#check(map);
    this.#map = map;
    // All shards are asked again, also those whose faults were about the time without a map.
    this.#faults.clear();
    this.follower.halt(this.#named(map));
    for (const shard of this.shards) void this.#bringUpToDate(shard);
    if (!this.#isApplying) void this.#apply();
  }

  /** Throws {@link ShardMapError} if this node cannot follow the map. */
  #check(map: ShardMap): void {
    if (map.shards.length !== this.partitions)
      throw new ShardMapError(
        `The map in Redis has ${map.shards.length} partitions, and FANFARE_REDIS_PARTITIONS is ${this.partitions}. Set it to ${map.shards.length}.`,
      );
    const missing = shardsOf(this.#named(map)).filter((name) => !this.shards.some((shard) => shard.name === name));
    if (missing.length > 0)
      throw new ShardMapError(
        `The map of partitions uses ${missing.join(', ')}, which FANFARE_REDIS_URL of this node does not list. Add it.`,
      );
  }

  #named(map: ShardMap): ShardMap {
    const listed = this.shards.map(({ name }) => name);
    return withNamesOf(listed, map);
  }

  /** A shard may not have the map yet, or even a newer one. */
  async #bringUpToDate(shard: MappedShard): Promise<void> {
    try {
      await this.learn(shard);
    } catch {
      // The shard does not respond: then this happens with the next connection. Or the fault is reported.
    }
  }

  async #apply(): Promise<void> {
    this.#isApplying = true;
    try {
      await this.#applyAll();
    } finally {
      this.#isApplying = false;
    }
  }

  async #applyAll(): Promise<void> {
    while (this.#map !== null && this.#applied < this.#map.version && !this.#isClosed) {
      const map = this.#map;
      const named = this.#named(map);
      await this.follower.settle(named);
      this.#settled = map.version;
      if (!(await this.follower.apply(named))) {
        // A shard does not respond. `fanfare shards` waits, and the map may change meanwhile.
        await delay(retryMs, undefined, { ref: false });
        continue;
      }
      this.#applied = map.version;
      this.log.debug({ event: 'shardMap', map: formatMap(map) }, 'Applied a map of partitions.');
      // Not awaited: a shard that does not respond must not delay the next map.
      for (const shard of this.shards) void this.#reportTo(shard);
    }
  }

  async #reportTo(shard: MappedShard): Promise<void> {
    try {
      await shard.reportMap(this.#applied);
    } catch {
      // It does not respond, and takes part in no move now. This is repeated with its next connection.
    }
  }

  #report(shard: string, fault: string): void {
    const isKnown = [...this.#faults.values()].includes(fault);
    this.#faults.set(shard, fault);
    if (isKnown) return;
    const log = (): void => {
      if ([...this.#faults.values()].includes(fault)) this.log.error({ event: 'shardMapFault' }, fault);
    };
    // While the node starts, the next connection may solve it.
    const waitMs = this.#openedAt + startMs - performance.now();
    if (waitMs <= 0) log();
    else setTimeout(log, waitMs).unref();
  }
}

/**
 * Throws {@link ShardMapError} if two shards are the same server: what a move copies to the one, it then deletes in the
 * other. `servers`: the name of each shard, and the run id of its server.
 */
export function checkServers(servers: readonly (readonly [shard: string, runId: string])[]): void {
  const shardOf = new Map<string, string>();
  for (const [shard, runId] of servers) {
    const other = shardOf.get(runId);
    if (other !== undefined)
      throw new ShardMapError(
        `${other} and ${shard} are the same Redis. Remove one of them from FANFARE_REDIS_URL: the one that the map of partitions does not use, if there is a map.`,
      );
    shardOf.set(runId, shard);
  }
}
