/**
 * The generation: the time in which Redis has lost nothing. Recovery (recovery.ts) decides which one it is; publishers
 * and readers use it.
 */
export interface Generation {
  /** The text that Redis stores: `<recovery>:<minimum epoch>` (lua/recover.lua). */
  readonly name: string;
  /** The recovery in which it began. */
  readonly recovery: string;
  /** Epochs that are lower have ended. */
  readonly minEpoch: string;
}

export function parseGeneration(name: string): Generation {
  const colon = name.lastIndexOf(':');
  return { name, recovery: name.slice(0, colon), minEpoch: name.slice(colon + 1) };
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
