/**
 * The generation: the time in which Redis has lost nothing. Recovery (recovery.ts) decides which one it is; publishers
 * and readers use it.
 */
export interface Generation {
  /**
   * The text that Redis stores: `<recovery>:<minimum epoch>` (lua/recover.lua), or `<recovery>.<fence>:<minimum epoch>`
   * after partitions have moved (lua/shards/fence.lua).
   */
  readonly name: string;
  /** The recovery in which it began. Another name of the same recovery is the same generation: nothing was lost. */
  readonly recovery: string;
  /**
   * The lowest version of the map of partitions that a publisher may use (shard-map.ts); 0 if any. Nodes that know a
   * newer map may send a higher fence than Redis has: it follows.
   */
  readonly fence: number;
  /** Epochs that are lower have ended. */
  readonly minEpoch: string;
}

/**
 * What each message of a topic with history carries of its generation: the beginning of the name (lua/publish.lua). A
 * master that hung and was replaced may publish once more when it resumes. Its publication is in no history, and the new
 * master gives its position to another one.
 */
export function markOf({ name }: Generation): string {
  return name.slice(0, markLength);
}

export const markLength = 6;

const nameForm = /^(.*?)(?:\.(\d{1,15}))?:([^:]*)$/;

export function parseGeneration(name: string): Generation {
  const [, recovery = name, fence = '0', minEpoch = ''] = nameForm.exec(name) ?? [];
  return { name, recovery, fence: Number(fence), minEpoch };
}

/** The generation as a node names it that knows the map of this version. A higher fence stays. */
export function withFence(generation: Generation, fence: number): Generation {
  if (fence <= generation.fence) return generation;
  return parseGeneration(`${generation.recovery}.${fence}:${generation.minEpoch}`);
}

/**
 * How the generation of Redis compares with the last one that this node knew. `first`: this node knew no generation.
 * `same`: nothing was lost. `restored`: a new generation, and this node has restored what it remembered. `missed`: a
 * new generation, which the other nodes began without this node.
 */
export type GenerationChange = 'first' | 'same' | 'restored' | 'missed';

/** Where publishers and readers get the generation from. */
export interface GenerationSource {
  /**
   * Null while Redis may have lost something: then nothing can be published or read. A new object after each recovery
   * check.
   */
  readonly generation: Generation | null;
  /**
   * Redis has another generation, or lacks data that the nodes stored: nothing more is published until recovery has
   * asked Redis.
   */
  onStale(): void;
}
