/** What `fanfare shards` does, without its command line. */
import {
  afterMoves,
  countOf,
  formatRanges,
  type PlannedMove,
  parseRanges,
  planAddition,
  planRemoval,
  type ShardMap,
  shardsOf,
} from '../relay/shard-map.js';
import { ConfigError, loadConfig } from '../settings/config.js';
import { counted } from './counted.js';
import { type OpenShards, openShards, type ShardsSettings } from './open-shards.js';
import { renameShard } from './rename-shard.js';
import { ShardsError, ShardsUsageError } from './shard-link.js';
import type { Progress } from './shards.js';

export { ShardMapError } from '../relay/shard-map.js';
export { ShardsError, ShardsUsageError } from './shard-link.js';

/** How to change the map. */
export type Change =
  | { readonly name: 'add' | 'remove'; readonly shard: string }
  /** `partitions`: such as `0-3,7`. */
  | { readonly name: 'move'; readonly partitions: string; readonly shard: string };

export interface ChangeOptions extends Progress {
  /** Only returns what would move, unfinished moves first. */
  readonly isDryRun: boolean;
  /** An earlier command has begun a move and not ended it. Only with `isDryRun`. */
  onUnfinished?(move: PlannedMove): void;
  readonly signal: AbortSignal;
}

/** A line for each shard. */
export async function listShards(redisUrl: string): Promise<readonly string[]> {
  await using opened = await open(redisUrl);
  const map = await opened.shards.readMap();
  checkList(opened.shards.names, map);
  return opened.shards.names.map((name) => {
    const partitions = [...map.shards.keys()].filter((partition) => map.shards[partition] === name);
    if (partitions.length === 0) return `${name}  no partitions`;
    return `${name}  ${counted(partitions.length, 'partition')}: ${formatRanges(partitions)}`;
  });
}

/** Lines about the state of the map, and what is wrong with it. */
export async function statusOf(
  redisUrl: string,
): Promise<{ readonly lines: readonly string[]; readonly problems: readonly string[] }> {
  await using opened = await open(redisUrl);
  const { shards } = opened;
  const map = await shards.readMap();
  checkList(shards.names, map);
  const all = await shards.status();
  const lines = [
    `Version ${map.version} of the map: ${counted(map.shards.length, 'partition')} in ${counted(new Set(map.shards).size, 'shard')}.`,
    ...all.map(
      ({ name, nodes }) => `${name}  ${counted(countOf(map, name), 'partition')}, ${counted(nodes.length, 'node')}`,
    ),
  ];
  const moves = [...map.moves].map(([partition, { from, to, step }]) => {
    const effect = step === 'copy' || step === 'switch' ? ' Publications to it are refused meanwhile.' : '';
    return `Partition ${partition} moves from ${from} to ${to} and is in the step ${step}.${effect} If no "fanfare shards" runs, run it again to continue.`;
  });
  const outdated = all.flatMap(({ name, version }) =>
    version === map.version
      ? []
      : [
          `${name} has ${version === null ? 'no map' : `version ${version} of the map`}. The nodes write the newest one there.`,
        ],
  );
  const late = new Map(
    all.flatMap(({ nodes }) =>
      nodes.flatMap(({ node, version }) => (version === map.version ? [] : [[node.label, version] as const])),
    ),
  );
  const behind = [...late].map(([label, version]) =>
    version === null
      ? `The node ${label} does not report a map yet. It is starting, or its FANFARE_REDIS_URL is not this list of shards: /readyz of a node says what is wrong.`
      : `The node ${label} has applied only version ${version} of the map. If this stays so, /readyz of a node says what is wrong.`,
  );
  return { lines, problems: [...moves, ...outdated, ...behind] };
}

/** Changes the map. Resolves with the partitions that have moved, or would move. */
export async function changeShards(
  redisUrl: string,
  change: Change,
  { isDryRun, onUnfinished, signal, ...progress }: ChangeOptions,
): Promise<readonly PlannedMove[]> {
  if (change.name === 'move') readPartitions(change.partitions);
  await using opened = await open(redisUrl, progress);
  const { shards } = opened;
  const { shard } = change;
  if (!shards.names.includes(shard))
    throw new ShardsUsageError(
      `${shard} is not in the list of shards (${shards.names.join(', ')}). ${change.name === 'remove' ? 'Write it as it is there.' : 'Add it to FANFARE_REDIS_URL of all nodes, and to --redis.'}`,
    );
  if (isDryRun) {
    const map = await shards.readMap();
    const begun = [...map.moves].map(([partition, { from, to }]) => ({ partition, from, to }));
    for (const move of begun) onUnfinished?.(move);
    return [...begun, ...planOf(change, afterMoves(map))];
  }
  await shards.lock();
  try {
    const plan = planOf(change, await shards.resume());
    for (const to of new Set(plan.map(({ to }) => to))) await shards.checkNodes(to);
    await shards.carryOut(plan, signal);
    return plan;
  } finally {
    await shards.unlock();
  }
}

function planOf(change: Change, map: ShardMap): readonly PlannedMove[] {
  switch (change.name) {
    case 'add':
      return planAddition(map, change.shard);
    case 'remove':
      return planRemoval(map, change.shard);
    case 'move':
      return readPartitions(change.partitions).flatMap((partition) => {
        const from = map.shards[partition];
        if (from === undefined)
          throw new ShardsUsageError(`There is no partition ${partition}. Partitions are 0-${map.shards.length - 1}.`);
        return from === change.shard ? [] : [{ partition, from, to: change.shard }];
      });
  }
}

function readPartitions(text: string): readonly number[] {
  const partitions = parseRanges(text);
  if (partitions === null)
    throw new ShardsUsageError(`"${text}" is not a list of partitions. Write numbers and ranges: 0-3,7.`);
  return [...new Set(partitions)];
}

/** Rejects a list that lacks shards of the map: what it shows would be a part. */
function checkList(names: readonly string[], map: ShardMap): void {
  const missing = shardsOf(map).filter((name) => !names.includes(name));
  if (missing.length > 0)
    throw new ShardsError(
      `The map of partitions uses ${missing.join(', ')}, which FANFARE_REDIS_URL does not list. Add it.`,
    );
}

/** Gives a shard another name. Resolves when all nodes use the map with that name. */
export async function rename(redisUrl: string, from: string, to: string): Promise<void> {
  await renameShard(settingsFor(redisUrl), from, to);
}

async function open(redisUrl: string, progress: Progress = {}): Promise<OpenShards> {
  return openShards(settingsFor(redisUrl), progress);
}

/**
 * The settings of the environment that nodes use for Redis: prefix, files with passwords and certificates. `redisUrl`:
 * '' if FANFARE_REDIS_URL_FILE has it.
 */
function settingsFor(redisUrl: string): ShardsSettings {
  const ofRedis = Object.entries(process.env).filter(
    ([name]) => name.startsWith('FANFARE_REDIS_') && (redisUrl === '' || name !== 'FANFARE_REDIS_URL_FILE'),
  );
  try {
    const config = loadConfig({ ...Object.fromEntries(ofRedis), FANFARE_REDIS_URL: redisUrl });
    return { ...config, redisUrl: config.redisUrl ?? redisUrl, nodeName: 'shards' };
  } catch (error) {
    if (error instanceof ConfigError) throw new ShardsUsageError(error.message);
    throw error;
  }
}
