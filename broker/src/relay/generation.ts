/** The generation: the time in which Redis has lost nothing. Recovery (recovery.ts) decides which one it is; publishers and readers use it. */
export interface Generation {
  /** As Redis keeps it: `<recovery>:<minimum epoch>` (lua/recover.lua). */
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

/** Where publishers and readers get the generation from. */
export interface GenerationSource {
  /** Null while Redis may have lost something: then nothing can be published or read. Another object each time that recovery has asked Redis. */
  readonly generation: Generation | null;
  /** Redis is in another generation, or what it holds is not ours: nothing more is published until it is asked. */
  onStale(): void;
}
