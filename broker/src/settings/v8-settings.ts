/**
 * Settings of V8 for short garbage collections. They are set here, not on the command line, so that they apply however
 * a node is started, and in each worker.
 */
import { setFlagsFromString } from 'node:v8';

/**
 * By default the young generation grows to 16 MB, and a collection of it takes 2 to 4 ms. With its smallest size, 1
 * MB, a collection takes half a millisecond. There are more of them, and at 10,000 publications per second they cost 1
 * % of a CPU more: most objects of a node are garbage after a millisecond, and only what is still in use costs time. V8 would divide this
 * work among several threads. It is so little that waiting for them takes longer than they save, above all if all CPUs
 * are busy. Measured in docs/performance.md, "Garbage collection".
 */
const flags = ['--semi-space-growth-factor=1', '--no-parallel-scavenge'] as const;

/**
 * Call it first: the young generation does not shrink. Does nothing if the operator has set the size of the young
 * generation.
 */
export function shortenCollections(): void {
  const { NODE_OPTIONS: options = '' } = process.env;
  if ([...process.execArgv, options].some((option) => option.replaceAll('_', '-').includes('semi-space'))) return;
  for (const flag of flags) setFlagsFromString(flag);
}
