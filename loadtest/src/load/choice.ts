/** Which of several streams comes next. */
import type { Choice } from './workload.js';

/** Answers one of `streams` (numbers, in the order of their popularity) each time. */
export function chooser(streams: readonly number[], choice: Choice): () => number {
  if (choice.name === 'inTurn') {
    let at = 0;
    return () => streams[at++ % streams.length] as number;
  }
  // The share of each and all before it; a random number falls into one of them.
  const ends: number[] = [];
  let sum = 0;
  for (const index of streams.keys()) {
    sum += 1 / (index + 1) ** choice.exponent;
    ends.push(sum);
  }
  return () => {
    const wanted = Math.random() * sum;
    let [low, high] = [0, ends.length - 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ends[middle] as number) > wanted) high = middle;
      else low = middle + 1;
    }
    return streams[low] as number;
  };
}
