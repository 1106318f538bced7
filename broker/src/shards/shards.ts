/**
 * The shards of a broker and their map, as `fanfare shards` reads and changes them. The nodes follow the map
 * (relay/shard-maps.ts). Each step can be repeated: if the command dies, it continues when it is run again.
 */
import type { Reply } from '../redis/reply-reader.js';
import { type Generation, parseGeneration } from '../relay/generation.js';
import { shardScripts } from '../relay/scripts.js';
import {
  abandonMove,
  advanceMove,
  beginMove,
  type Move,
  type MoveStep,
  type PlannedMove,
  repeatCopy,
  retreatMove,
  type ShardMap,
} from '../relay/shard-map.js';
import { renameShard } from '../relay/shard-names.js';
import { counted } from './counted.js';
import { type MapKeys, MapStore } from './map-store.js';
import { clear, PartitionCopy, renewEnded } from './partition-copy.js';
import { type ShardLink, ShardsError } from './shard-link.js';
import { labelsOf, type NamedNode, type NodeKeys, notReady, ShardNodes } from './shard-nodes.js';

/** The names in each shard. */
interface ShardKeys extends MapKeys, NodeKeys {
  readonly generation: string;
  readonly newestEpoch: string;
  /** How the names of all topics begin, up to the tag. */
  readonly streamPrefix: string;
  /** How the names of the topics of a partition begin. */
  topicPrefix(partition: number): string;
}

interface ShardStatus {
  readonly name: string;
  /** The version of its map; null if it has none. */
  readonly version: number | null;
  /** The nodes that use it, and the version of the map that each has applied; null if none is known. */
  readonly nodes: readonly { readonly node: NamedNode; readonly version: number | null }[];
}

/** Notifies the caller of progress. */
export interface Progress {
  /** A partition has moved. */
  onMoved?(line: string): void;
  /** A partition is in a step of its move. */
  onStep?(partition: number, step: MoveStep): void;
}

/** The shards of a move, and the names of the partition. */
interface Ends {
  readonly from: ShardLink;
  readonly to: ShardLink;
  readonly keys: Parameters<typeof renewEnded>[1] & { readonly topicPrefix: string };
}

/** A copy, and the recoveries of both shards in which it began: in others, it may be incomplete. */
interface Copying {
  readonly copy: PartitionCopy;
  readonly recoveries: string;
}

/** How long the command waits for nodes in steps in which nothing waits for it, in milliseconds. */
const patienceMs = 10_000;
/**
 * How long it waits for nodes before the last part of the copy, in milliseconds: publications wait meanwhile. If a node
 * is late, publications continue in the old shard, and the next attempt waits longer by this time.
 */
const haltMs = 500;
/** Maximum number of these attempts. */
const maxAttempts = 10;
/** How many topics of a partition may be left to copy when publications begin to wait. */
const fewTopics = 50;
/** Maximum passes before that: a partition may change faster than it can be copied. */
const maxPasses = 5;

export class Shards {
  readonly #store: MapStore;
  readonly #nodes: ShardNodes;

  /** `links`: by the names of the shards. `leaseMs`: how long a node that is gone counts as alive. */
  constructor(
    links: ReadonlyMap<string, ShardLink>,
    private readonly keys: ShardKeys,
    leaseMs: number,
    private readonly progress: Progress = {},
  ) {
    this.#store = new MapStore(links, keys);
    this.#nodes = new ShardNodes(keys, leaseMs);
  }

  get names(): readonly string[] {
    return [...this.#store.links.keys()];
  }

  /** See {@link MapStore.read}. */
  readMap(): Promise<ShardMap> {
    return this.#store.read();
  }

  /** Each shard of the list, and the nodes that have not applied the map. */
  async status(): Promise<readonly ShardStatus[]> {
    return Promise.all(
      [...this.#store.links].map(async ([name, link]) => {
        const { map } = await this.#store.stored(link);
        const { living, versions } = await this.#nodes.of(link);
        const version = map?.version ?? null;
        return { name, version, nodes: living.map((node) => ({ node, version: versions.get(node.id) ?? null })) };
      }),
    );
  }

  /** See {@link MapStore.lock}. */
  lock(): Promise<ShardMap> {
    return this.#store.lock();
  }

  unlock(): Promise<void> {
    return this.#store.unlock();
  }

  /**
   * Rejects with {@link ShardsError} if a node that uses the shards of the map does not use `shard`, whose partitions
   * it could then not serve.
   */
  async checkNodes(shard: string): Promise<void> {
    const map = await this.readMap();
    const there = await this.#nodes.of(this.#store.link(shard));
    for (const name of new Set(map.shards)) {
      const { living } = await this.#nodes.of(this.#store.link(name));
      const absent = living.filter(({ id }) => !there.living.some((node) => node.id === id));
      if (absent.length > 0)
        throw new ShardsError(
          `${counted(absent.length, 'node')} of ${living.length} ${absent.length === 1 ? 'does' : 'do'} not use ${shard}: ${labelsOf(absent)}. Start all nodes with ${shard} in FANFARE_REDIS_URL first, and run this again. A node that was stopped without draining counts for ${Math.ceil(this.#nodes.leaseMs / 1_000)} more seconds.`,
        );
    }
  }

  /** Ends the moves that an earlier command has begun. Resolves with the map. Call {@link lock} first. */
  async resume(): Promise<ShardMap> {
    for (const [partition, { from }] of this.#current.moves)
      await this.#orTakeBack(partition, from, () => this.#moveOn(partition));
    return this.#current;
  }

  /**
   * Moves partitions one after the other. Call {@link lock} first. `signal`: if aborted, ends after the current one and
   * rejects with {@link ShardsError}.
   */
  async carryOut(plan: readonly PlannedMove[], signal: AbortSignal | null = null): Promise<void> {
    for (const [index, { partition, to }] of plan.entries()) {
      if (signal?.aborted)
        throw new ShardsError(
          `Stopped after ${index} of ${plan.length} partitions. Run the command again to continue.`,
        );
      const from = this.#current.shards[partition] as string;
      await this.#orTakeBack(partition, from, async () => {
        await this.#write(beginMove(this.#current, partition, to), partition);
        await this.#moveOn(partition);
      });
    }
  }

  /**
   * Gives a shard another name in the map. Call {@link lock} first. Rejects with {@link ShardsError} if a node does not
   * follow within ten seconds, and with ShardMapError if the shard cannot get the name.
   */
  async rename(from: string, to: string): Promise<void> {
    const isRenamed = !this.#current.shards.includes(from) && this.#current.renamed.get(from) === to;
    if (!isRenamed) await this.#store.write([from], renameShard(this.#current, from, to));
    const late = await this.#awaitNodes([...this.#store.links.values()], patienceMs);
    if (late.length > 0)
      throw new ShardsError(
        `The map has the name ${to} now, but ${notReady(late, this.#current.version)} Do not change FANFARE_REDIS_URL yet: run the command again when they have.`,
      );
  }

  get #current(): ShardMap {
    return this.#store.current;
  }

  /** Carries out all steps of a move that are left. */
  async #moveOn(partition: number): Promise<void> {
    const { from: fromName, to: toName } = this.#current.moves.get(partition) as Move;
    const ends: Ends = {
      from: this.#store.link(fromName),
      to: this.#store.link(toName),
      keys: { ...this.keys, topicPrefix: this.keys.topicPrefix(partition) },
    };
    const shards = [ends.from, ends.to];
    const startedAt = performance.now();
    let copying: Copying | null = null;
    let attempts = 0;
    let haltedAt = startedAt;
    let haltedMs = 0;
    for (;;) {
      const step = this.#current.moves.get(partition)?.step;
      if (step !== undefined) this.progress.onStep?.(partition, step);
      switch (step) {
        case undefined: {
          await this.#awaitNodes(shards, haltMs);
          const ms = Math.round(performance.now() - startedAt);
          this.progress.onMoved?.(
            `Partition ${partition}: from ${fromName} to ${toName} in ${ms} ms. Publications waited for ${Math.round(haltedMs)} ms.`,
          );
          return;
        }
        case 'prepare': {
          const late = await this.#awaitNodes(shards, patienceMs);
          if (late.length > 0) throw this.#lateError(late, toName);
          copying = await this.#copyMost(ends, copying);
          haltedAt = performance.now();
          break;
        }
        case 'copy': {
          if (copying === null) {
            // An earlier command has died. Most of the data is copied while publications continue.
            await this.#write(retreatMove(this.#current, partition), partition);
            continue;
          }
          const late = await this.#awaitNodes(shards, ++attempts * haltMs);
          if (late.length > 0) {
            if (attempts === maxAttempts) throw this.#lateError(late, toName);
            await this.#write(retreatMove(this.#current, partition), partition);
            continue;
          }
          const copy = await this.#copyRest(ends, copying);
          await this.#write(advanceMove(this.#current, partition, copy), partition);
          continue;
        }
        case 'switch': {
          // Nobody has published in the new shard yet. If it has lost the copy, the old one still has everything.
          if (!(await this.#isSwitched(ends, partition))) {
            const copy = await this.#copyRest(ends, null);
            await this.#write(repeatCopy(this.#current, partition, copy), partition);
            continue;
          }
          break;
        }
        case 'clean': {
          const late = await this.#awaitNodes(shards, patienceMs);
          if (late.length > 0)
            throw new ShardsError(
              `Partition ${partition} is in ${toName}, but ${notReady(late, this.#current.version)} Its data in ${fromName} stays until they are: run the command again.`,
            );
          await clear(this.#store.whileLocked(ends.from), ends.keys.topicPrefix);
        }
      }
      await this.#write(advanceMove(this.#current, partition), partition);
      if (step === 'switch') haltedMs = performance.now() - haltedAt;
    }
  }

  /**
   * Waits until the nodes read in the new shard. Resolves with false if that has lost the copy meanwhile. Continues without
   * nodes that are too slow: they publish nothing to the partition.
   */
  async #isSwitched(ends: Ends, partition: number): Promise<boolean> {
    for (const startedAt = performance.now(); ; ) {
      const late = await this.#awaitNodes([ends.from, ends.to], haltMs);
      const { recovery } = await this.#generationOf(ends.to);
      if (recovery !== this.#current.moves.get(partition)?.copy) return false;
      if (late.length === 0 || performance.now() - startedAt > patienceMs) return true;
    }
  }

  #lateError(late: readonly NamedNode[], to: string): ShardsError {
    return new ShardsError(
      `${notReady(late, this.#current.version)} They may not reach ${to}, not have it in FANFARE_REDIS_URL, or be too slow.`,
    );
  }

  /**
   * Moves a partition, and takes the move back if it cannot continue and nodes do not use the new shard yet: otherwise
   * every later command would have to continue it first. Rejects with {@link ShardsError} if it could not continue.
   */
  async #orTakeBack(partition: number, from: string, move: () => Promise<void>): Promise<void> {
    try {
      await move();
    } catch (error) {
      const step = this.#current.moves.get(partition)?.step;
      if (!(error instanceof ShardsError) || (step !== 'prepare' && step !== 'copy')) throw error;
      try {
        await this.#write(abandonMove(this.#current, partition), partition);
      } catch {
        // The old shard does not respond, or another command has taken over.
        throw error;
      }
      throw new ShardsError(`Partition ${partition} stays in ${from}: ${error.message}`);
    }
  }

  /** Copies while nodes publish. `copying`: what was copied before. */
  async #copyMost(ends: Ends, copying: Copying | null): Promise<Copying> {
    const { minEpoch } = await this.#generationOf(ends.from);
    if (minEpoch < (await this.#generationOf(ends.to)).minEpoch) await this.#lowerMinEpoch(ends, minEpoch);
    const now = copying ?? (await this.#beginCopy(ends));
    for (let passes = 1; (await now.copy.pass(minEpoch)) > fewTopics && passes < maxPasses; passes++);
    return now;
  }

  /**
   * Nothing more is published in the old shard; copies what is left. If a shard has lost data meanwhile, copies
   * everything again. Then the fence of the new shard says that the copy is complete. Resolves with the recovery of the
   * new shard.
   */
  async #copyRest(ends: Ends, copying: Copying | null): Promise<string> {
    for (let now = copying; ; now = null) {
      now ??= await this.#beginCopy(ends);
      const [name, newest] = await this.#fence(ends.from);
      const { minEpoch } = parseGeneration(name);
      await this.#accept(ends.to, minEpoch, newest);
      await now.copy.pass(minEpoch);
      const { recovery } = await this.#generationOf(ends.to);
      if (now.recoveries !== (await this.#recoveriesOf(ends))) continue;
      const [marked] = await this.#fence(ends.to, recovery);
      if (parseGeneration(marked).recovery === recovery) return recovery;
    }
  }

  async #beginCopy(ends: Ends): Promise<Copying> {
    const copy = new PartitionCopy(ends.from, this.#store.whileLocked(ends.to), ends.keys);
    return { copy, recoveries: await this.#recoveriesOf(ends) };
  }

  /** Changes if one of both shards has lost data. */
  async #recoveriesOf({ from, to }: Ends): Promise<string> {
    const generations = await Promise.all([from, to].map((link) => this.#generationOf(link)));
    return generations.map(({ recovery }) => recovery).join(' ');
  }

  /**
   * Raises the fence of a shard. `recovery`: the one in which it must be; '' for any. Resolves with its generation and
   * its newest epoch.
   */
  async #fence(link: ShardLink, recovery = ''): Promise<readonly [generation: string, newestEpoch: string]> {
    const { generation, newestEpoch, mapLock, map } = this.keys;
    const keys = [generation, newestEpoch, mapLock, map];
    const args = [this.#current.version, this.#store.lockName, recovery];
    const answer = await link.evaluate({ script: shardScripts.fence, keys, args });
    return (answer as readonly Reply[]).map(String) as [string, string];
  }

  /** Prepares a shard for streams of another one. */
  async #accept(link: ShardLink, minEpoch: string, newest: string): Promise<void> {
    const { generation, newestEpoch, control, mapLock, map } = this.keys;
    const keys = [generation, newestEpoch, control, mapLock, map];
    const args = [minEpoch, newest, this.#store.lockName, this.#current.version];
    await link.evaluate({ script: shardScripts.accept, keys, args });
  }

  /** Otherwise the streams of the other shard would count as ended here. */
  async #lowerMinEpoch({ to, keys }: Ends, minEpoch: string): Promise<void> {
    await renewEnded(to, keys, this.keys.streamPrefix, (await this.#generationOf(to)).minEpoch);
    await this.#accept(to, minEpoch, '0');
  }

  async #generationOf(link: ShardLink): Promise<Generation> {
    const [name] = await link.run([['GET', this.keys.generation]]);
    if (name === null)
      throw new ShardsError(
        `${link.shard} is not in use by any node yet, or the nodes restore lost data there. Run the command again in a moment.`,
      );
    return parseGeneration(String(name));
  }

  /** See {@link ShardNodes.awaitVersion}, for the current map. */
  #awaitNodes(links: readonly ShardLink[], timeoutMs: number): Promise<readonly NamedNode[]> {
    return this.#nodes.awaitVersion(links, this.#current.version, timeoutMs);
  }

  /** Writes a map that replaces the current one. First to the shards of the move, which must take it. */
  async #write(map: ShardMap, partition: number): Promise<void> {
    const move = map.moves.get(partition) ?? this.#current.moves.get(partition);
    if (move === undefined) return this.#store.write([], map);
    // If the move is taken back, the new shard need not take the map: it may be full.
    const isTakenBack = !map.moves.has(partition) && map.shards[partition] === move.from;
    await this.#store.write(isTakenBack ? [move.from] : [move.from, move.to], map);
  }
}
