/**
 * The map of partitions: which shard holds each partition, and which partitions are moving to another one. Each shard
 * stores it, and the one with the highest version counts. This file only computes; shard-maps.ts reads and writes it.
 */

import { maxPartitions } from './partitions.js';

/**
 * How far the move of a partition is; docs/decisions.md says why it takes these steps.
 * `prepare`: the nodes also listen at the new shard, and most of the data is copied. `copy`: publications wait, the old
 * shard accepts no more, and the rest is copied. `switch`: the nodes read and listen at the new shard. `clean`: they
 * publish there too, and the data in the old shard is removed.
 */
const moveSteps = ['prepare', 'copy', 'switch', 'clean'] as const;
export type MoveStep = (typeof moveSteps)[number];

/** A partition on its way. */
export interface Move {
  readonly from: string;
  readonly to: string;
  readonly step: MoveStep;
  /**
   * From `switch` on: the recovery of the new shard (generation.ts) in which the copy was completed. In another one, the
   * shard may have lost the copy.
   */
  readonly copy?: string;
}

export interface ShardMap {
  /** Grows by one with each change. */
  readonly version: number;
  /**
   * For each partition the name of the shard that serves it: where its histories are read. From the step `switch` on,
   * this is the new shard of a move.
   */
  readonly shards: readonly string[];
  /** By partition. */
  readonly moves: ReadonlyMap<number, Move>;
  /** Earlier names of shards, and the present name of each (shard-names.ts). */
  readonly renamed: ReadonlyMap<string, string>;
}

/** A step of a plan: a partition must move. */
export interface PlannedMove {
  readonly partition: number;
  readonly from: string;
  readonly to: string;
}

/** The map, or a change of it, is not valid. The message is a sentence for the operator. */
export class ShardMapError extends Error {
  override readonly name = 'ShardMapError';
}

/** Parses what {@link formatMap} wrote. Throws {@link ShardMapError}. */
export function parseMap(text: string): ShardMap {
  const { version, partitions, shards, moving = {}, renamed = {} } = recordOf(jsonOf(text), 'a map');
  if (!isCount(version)) throw invalid('its version is not a positive number');
  if (!isCount(partitions) || partitions > maxPartitions)
    throw invalid(`its number of partitions is not a positive number up to ${maxPartitions}`);
  const places = new Array<string | undefined>(partitions);
  for (const [shard, ranges] of Object.entries(recordOf(shards, 'the list of shards'))) {
    if (!isName(shard)) throw invalid('a shard has a name that is not printable ASCII');
    for (const partition of readRanges(ranges, shard)) {
      if (partition >= partitions) throw invalid(`${shard} has partition ${partition}, and there are ${partitions}`);
      if (places[partition] !== undefined) throw invalid(`partition ${partition} is in two shards`);
      places[partition] = shard;
    }
  }
  const missing = Array.from(places).indexOf(undefined);
  if (missing !== -1) throw invalid(`partition ${missing} is in no shard`);
  const map = { version, shards: places as readonly string[] };
  const moves = readMoves(recordOf(moving, 'the list of moves'), map.shards);
  return { ...map, moves, renamed: readNames(recordOf(renamed, 'the list of earlier names')) };
}

/** The text that shards store: JSON with the partitions of each shard as ranges. */
export function formatMap({ version, shards, moves, renamed }: ShardMap): string {
  const partitionsOf = new Map<string, number[]>();
  for (const [partition, shard] of shards.entries()) {
    const partitions = partitionsOf.get(shard);
    if (partitions === undefined) partitionsOf.set(shard, [partition]);
    else partitions.push(partition);
  }
  const ranges = [...partitionsOf].map(([shard, partitions]) => [shard, formatRanges(partitions)] as const);
  const moving = [...moves].toSorted(([one], [other]) => one - other);
  return JSON.stringify({
    version,
    partitions: shards.length,
    shards: Object.fromEntries(ranges),
    ...(moving.length === 0 ? {} : { moving: Object.fromEntries(moving) }),
    ...(renamed.size === 0 ? {} : { renamed: Object.fromEntries(renamed) }),
  });
}

/** `0-3,7` for 0, 1, 2, 3 and 7. `partitions`: ascending. */
export function formatRanges(partitions: readonly number[]): string {
  const ranges: { readonly first: number; last: number }[] = [];
  for (const partition of partitions) {
    const range = ranges.at(-1);
    if (range?.last === partition - 1) range.last = partition;
    else ranges.push({ first: partition, last: partition });
  }
  return ranges.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(',');
}

/** The partitions of `0-3,7`. Null if it is not such a text. */
export function parseRanges(text: string): readonly number[] | null {
  const partitions: number[] = [];
  for (const range of text.split(',')) {
    const [, first, last = first] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(range) ?? [];
    if (first === undefined || Number(last) < Number(first)) return null;
    for (let partition = Number(first); partition <= Number(last); partition++) partitions.push(partition);
  }
  return partitions;
}

/**
 * The map that counts: the one with the highest version. Null if there is none. Throws {@link ShardMapError} if two
 * different maps have this version.
 */
export function newestMap(maps: readonly ShardMap[]): ShardMap | null {
  let newest: ShardMap | null = null;
  for (const map of maps) {
    if (newest !== null && map.version === newest.version && formatMap(map) !== formatMap(newest))
      throw new ShardMapError(
        `Two shards have different maps of version ${map.version}. Nodes with different lists of shards started at the same time, or a shard belongs to another broker. Stop all nodes, delete the wrong map, and start them again (docs/operations.md).`,
      );
    if (newest === null || map.version > newest.version) newest = map;
  }
  return newest;
}

/**
 * The first map. All shards get equal numbers of partitions, or one more or fewer. The order of `names` does not
 * matter, so all nodes compute the same map (rendezvous hashing).
 */
export function firstMap(names: readonly string[], partitions: number): ShardMap {
  const quotas = new Map(names.map((name) => [name, Math.floor(partitions / names.length)]));
  let spare = partitions % names.length;
  const places = new Array<string | undefined>(partitions);
  const weights = names.flatMap((name) => {
    return Array.from({ length: partitions }, (_, partition) => ({
      name,
      partition,
      weight: weightOf(name, partition),
    }));
  });
  weights.sort((one, other) => other.weight - one.weight || (one.name < other.name ? -1 : 1));
  for (const { name, partition } of weights) {
    const left = quotas.get(name) as number;
    if (places[partition] !== undefined || left < 0 || (left === 0 && spare === 0)) continue;
    // After the last spare one, the shard takes no more.
    if (left === 0) spare--;
    quotas.set(name, left === 0 ? -1 : left - 1);
    places[partition] = name;
  }
  return { version: 1, shards: places as readonly string[], moves: new Map(), renamed: new Map() };
}

/** The map of a broker whose data is all in one Redis. */
export function mapOfOne(name: string, partitions: number): ShardMap {
  return { version: 1, shards: new Array<string>(partitions).fill(name), moves: new Map(), renamed: new Map() };
}

/** The shards that a node needs for this map: those that serve partitions, and those of moves. In order of name. */
export function shardsOf({ shards, moves }: ShardMap): readonly string[] {
  return [...new Set([...shards, ...[...moves.values()].flatMap(({ from, to }) => [from, to])])].toSorted();
}

/** How many partitions a shard serves. */
export function countOf(map: ShardMap, shard: string): number {
  return map.shards.reduce((count, each) => count + (each === shard ? 1 : 0), 0);
}

/** The map when all its moves have ended. */
export function afterMoves(map: ShardMap): ShardMap {
  let after = map;
  for (const partition of map.moves.keys()) while (after.moves.has(partition)) after = advanceMove(after, partition);
  return after;
}

/**
 * The fewest moves after which the shards that hold partitions, and `shard`, hold equal numbers, or one more or fewer.
 * Only for a map without unfinished moves. Partition 0 moves last, because its shard also has what authentication
 * stores.
 */
export function planAddition(map: ShardMap, shard: string): readonly PlannedMove[] {
  const held = heldBy(map, shard);
  const quotas = quotasOf(held, map.shards.length);
  const excess = [...held].flatMap(([from, partitions]) =>
    partitions.slice(quotas.get(from) as number).map((partition) => ({ partition, from })),
  );
  const places = [...held].flatMap(([name, partitions]) =>
    new Array<string>(Math.max(0, (quotas.get(name) as number) - partitions.length)).fill(name),
  );
  return excess.toSorted(zeroLast).map((move, index) => ({ ...move, to: places[index] as string }));
}

/**
 * The moves of all partitions of `shard` to the other shards that hold partitions, each to the one that then has
 * fewest. Other partitions stay. Only for a map without unfinished moves. Partition 0 moves last. Throws
 * {@link ShardMapError} if no other shard holds partitions.
 */
export function planRemoval(map: ShardMap, shard: string): readonly PlannedMove[] {
  const held = heldBy(map, shard);
  const leaving = (held.get(shard) as readonly number[]).map((partition) => ({ partition, from: shard }));
  held.delete(shard);
  const counts = new Map([...held].map(([name, { length }]) => [name, length]));
  if (counts.size === 0)
    throw new ShardMapError(`${shard} has all partitions. Add another shard first: fanfare shards add.`);
  return leaving.toSorted(zeroLast).map((move) => {
    const [[to, count]] = [...counts].toSorted(([, one], [, other]) => one - other) as [[string, number]];
    counts.set(to, count + 1);
    return { ...move, to };
  });
}

/** The map in which a partition begins to move. Throws {@link ShardMapError} if it moves already or is there. */
export function beginMove(map: ShardMap, partition: number, to: string): ShardMap {
  const from = map.shards[partition];
  if (from === undefined)
    throw new ShardMapError(`There is no partition ${partition}. Partitions are 0-${map.shards.length - 1}.`);
  if (map.moves.has(partition)) throw new ShardMapError(`Partition ${partition} is moving already.`);
  if (from === to) throw new ShardMapError(`Partition ${partition} is in ${to} already.`);
  return changed(map, map.shards, partition, { from, to, step: 'prepare' });
}

/**
 * The map in which the move of a partition has gone one step further. After `clean` there is no move. `copy`: see
 * {@link Move.copy}; with the step to `switch`.
 */
export function advanceMove(map: ShardMap, partition: number, copy?: string): ShardMap {
  const move = moveOf(map, partition);
  const step = moveSteps[moveSteps.indexOf(move.step) + 1];
  const shards = step === 'switch' ? map.shards.with(partition, move.to) : map.shards;
  const next = step === undefined ? null : { ...move, step, ...(copy === undefined ? {} : { copy }) };
  return changed(map, shards, partition, next);
}

/** The map in which a partition was copied once more, in the step `switch`. */
export function repeatCopy(map: ShardMap, partition: number, copy: string): ShardMap {
  return changed(map, map.shards, partition, { ...moveOf(map, partition), copy });
}

/** The map in which a move waits in `prepare` again. Call it only in the step `copy`: nodes do not use the new shard yet. */
export function retreatMove(map: ShardMap, partition: number): ShardMap {
  return changed(map, map.shards, partition, { ...moveOf(map, partition), step: 'prepare' });
}

/** The map in which a move was given up. Throws {@link ShardMapError} if it is too late: nodes may use the new shard. */
export function abandonMove(map: ShardMap, partition: number): ShardMap {
  const { step, to } = moveOf(map, partition);
  if (step === 'switch' || step === 'clean')
    throw new ShardMapError(`Partition ${partition} is in ${to} now, so its move cannot be taken back. Let it end.`);
  return changed(map, map.shards, partition, null);
}

function moveOf(map: ShardMap, partition: number): Move {
  const move = map.moves.get(partition);
  if (move === undefined) throw new ShardMapError(`Partition ${partition} is not moving.`);
  return move;
}

function changed(map: ShardMap, shards: readonly string[], partition: number, move: Move | null): ShardMap {
  const moves = new Map(map.moves);
  if (move === null) moves.delete(partition);
  else moves.set(partition, move);
  // A shard that receives partitions is another Redis than one that had its name earlier.
  const renamed = new Map([...map.renamed].filter(([earlier]) => earlier !== move?.to));
  return { version: map.version + 1, shards, moves, renamed };
}

/** The partitions of each shard that holds some, and of `shard`, in order of name. */
function heldBy(map: ShardMap, shard: string): Map<string, number[]> {
  const held = new Map<string, number[]>([...new Set([...map.shards, shard])].toSorted().map((name) => [name, []]));
  for (const [partition, name] of map.shards.entries()) held.get(name)?.push(partition);
  return held;
}

function zeroLast(one: { readonly partition: number }, other: { readonly partition: number }): number {
  return other.partition - one.partition;
}

/** Equal numbers. Of the shards, those that hold most get one more if the numbers cannot be equal. */
function quotasOf(held: ReadonlyMap<string, readonly number[]>, partitions: number): ReadonlyMap<string, number> {
  const least = Math.floor(partitions / held.size);
  const more = partitions % held.size;
  const byNumber = [...held].toSorted(([, one], [, other]) => other.length - one.length);
  return new Map(byNumber.map(([name], index) => [name, index < more ? least + 1 : least]));
}

/** A pseudorandom number for a shard and a partition: FNV-1a with a final mix, so that similar names differ. */
function weightOf(name: string, partition: number): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(`${partition} ${name}`)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function readRanges(value: unknown, shard: string): readonly number[] {
  const partitions = typeof value === 'string' ? parseRanges(value) : null;
  if (partitions === null) throw invalid(`the partitions of ${shard} are not ranges such as "0-31,40"`);
  return partitions;
}

function readMoves(moving: Readonly<Record<string, unknown>>, shards: readonly string[]): ReadonlyMap<number, Move> {
  const moves = new Map<number, Move>();
  for (const [text, value] of Object.entries(moving)) {
    const { from, to, step, copy } = recordOf(value, `the move of partition ${text}`);
    const partition = /^\d{1,4}$/.test(text) ? Number(text) : -1;
    const place = shards[partition];
    if (place === undefined) throw invalid(`it moves partition ${text}, and there are ${shards.length}`);
    if (!isStep(step))
      throw new ShardMapError(
        `A newer release of Fanfare moves partition ${text}, in a step that this release does not know. Use that release for all nodes and for fanfare shards.`,
      );
    const serving = step === 'prepare' || step === 'copy' ? from : to;
    if (!isName(from) || !isName(to) || from === to || serving !== place)
      throw invalid(`the move of partition ${text} does not fit its shard`);
    moves.set(partition, { from, to, step, ...(typeof copy === 'string' ? { copy } : {}) });
  }
  return moves;
}

function readNames(renamed: Readonly<Record<string, unknown>>): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const [earlier, name] of Object.entries(renamed)) {
    if (!isName(earlier) || !isName(name)) throw invalid('a shard has a name that is not printable ASCII');
    names.set(earlier, name);
  }
  return names;
}

function isStep(value: unknown): value is MoveStep {
  return (moveSteps as readonly unknown[]).includes(value);
}

/** Names are printed and logged. */
function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[!-~]+$/.test(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalid('it is not JSON');
  }
}

function recordOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw invalid(`${what} is not an object`);
}

function invalid(why: string): ShardMapError {
  return new ShardMapError(
    `The map of partitions in this shard is not valid: ${why}. Another program may have written it. Delete it there (the key map of FANFARE_REDIS_PREFIX), so that a node writes the map of the other shards there again.`,
  );
}
