/** The pauses and the allocations of a process, from its garbage collections. */

/** A collection as V8's profiler reports it. */
export interface Collection {
  /** `Scavenge`, `MarkSweepCompact`, `IncrementalMarking` … */
  readonly kind: string;
  readonly us: number;
  readonly usedBefore: number;
  readonly usedAfter: number;
}

export interface GarbageSums {
  readonly scavenges: number;
  /** All pauses, including marking. */
  readonly pauses: number;
  readonly longestScavengeUs: number;
  readonly longestPauseUs: number;
  readonly pausedUs: number;
  /** Everything that was allocated in the heap, whether it was collected or not. */
  readonly heapBytes: number;
}

/** `usedAtStart`, `usedAtEnd`: the used heap before the first and after the last of them. */
export function sumUp(collections: readonly Collection[], usedAtStart: number, usedAtEnd: number): GarbageSums {
  const scavenges = collections.filter(({ kind }) => kind === 'Scavenge');
  let used = usedAtStart;
  let heapBytes = 0;
  for (const { usedBefore, usedAfter } of collections) {
    // Less than before: the sweeper has freed memory since the collection.
    heapBytes += Math.max(0, usedBefore - used);
    used = usedAfter;
  }
  return {
    scavenges: scavenges.length,
    pauses: collections.length,
    longestScavengeUs: longest(scavenges),
    longestPauseUs: longest(collections),
    pausedUs: collections.reduce((sum, { us }) => sum + us, 0),
    heapBytes: heapBytes + Math.max(0, usedAtEnd - used),
  };
}

function longest(collections: readonly Collection[]): number {
  return collections.reduce((most, { us }) => Math.max(most, us), 0);
}
