/**
 * A shard can get another name, for example when the name of its host changes. The map then has the new name, and knows
 * the earlier one: nodes whose FANFARE_REDIS_URL still has that follow the same map.
 */
import { type ShardMap, ShardMapError, shardsOf } from './shard-map.js';

/**
 * The map in which a shard has another name. Throws {@link ShardMapError} if a partition moves, if the map does not use
 * the shard, or if another shard has the name.
 */
export function renameShard(map: ShardMap, from: string, to: string): ShardMap {
  const [moving] = map.moves.keys();
  if (moving !== undefined)
    throw new ShardMapError(
      `Partition ${moving} is moving, so no shard can get another name now. Let the move end, or run the command that began it again.`,
    );
  if (!map.shards.includes(from))
    throw new ShardMapError(
      `The map of partitions does not use ${from}, so the map needs no other name for it. Write ${to} instead in FANFARE_REDIS_URL of all nodes.`,
    );
  if (map.shards.includes(to)) throw new ShardMapError(`The map of partitions already has a shard ${to}.`);
  const earlier = [...map.renamed].flatMap(([name, now]) =>
    name === to ? [] : [[name, now === from ? to : now] as const],
  );
  return {
    version: map.version + 1,
    shards: map.shards.map((shard) => (shard === from ? to : shard)),
    moves: map.moves,
    renamed: new Map([...earlier, [from, to]]),
  };
}

/** The name that the map has for a shard of the list `listed`. */
export function nameInMap(map: ShardMap, name: string, listed: readonly string[]): string {
  const now = map.renamed.get(name);
  // An earlier name can belong to another Redis later.
  return now === undefined || listed.includes(now) || shardsOf(map).includes(name) ? name : now;
}

/** The map with the names of the list `listed`: some of them may be earlier ones. */
export function withNamesOf(listed: readonly string[], map: ShardMap): ShardMap {
  const names = new Map(listed.map((name) => [nameInMap(map, name, listed), name]));
  const nameOf = (shard: string): string => names.get(shard) ?? shard;
  const moves = [...map.moves].map(
    ([partition, move]) => [partition, { ...move, from: nameOf(move.from), to: nameOf(move.to) }] as const,
  );
  return { ...map, shards: map.shards.map(nameOf), moves: new Map(moves) };
}
