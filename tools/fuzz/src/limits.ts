/** How much an input may cost. The limits are generous: only a cost that grows faster than the input exceeds them. */
import { getHeapStatistics } from 'node:v8';
import { Finding, type Target } from './target.js';

/** Blocks of code that may run for an input (coverage.ts). */
export function maxSteps({ costs = 1 }: Target, bytes: number): number {
  return costs * (200_000 + bytes * 2_000);
}

/** Bytes that may be allocated for an input, garbage included. */
function maxAllocated({ costs = 1 }: Target, bytes: number): number {
  return costs * (8_388_608 + bytes * 2_048);
}

/** Throws a {@link Finding} if a check fails, and passes on any unexpected error of the target. */
export async function runOnce(target: Target, input: Uint8Array): Promise<void> {
  const before = allocated();
  const running = target.run(input);
  if (running !== undefined) await running;
  // Garbage collection in between makes it less, never more.
  const grown = allocated() - before;
  if (grown > maxAllocated(target, input.length)) {
    throw new Finding(`${grown} bytes were allocated for an input of ${input.length} bytes.`);
  }
}

function allocated(): number {
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
}
