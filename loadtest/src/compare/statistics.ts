/** Estimates a ratio from a few rounds, with an interval. */
import { median } from '@fanfare/kit/median';

export interface Estimate {
  readonly median: number;
  /** {@link coverageOf} returns the probability that the true median is between them. */
  readonly low: number;
  readonly high: number;
}

const wantedCoverage = 0.95;

/** The estimate from the values of all rounds; null if there are none. */
export function estimate(values: readonly number[]): Estimate | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((one, other) => one - other);
  const left = leftOut(values.length);
  return { median: median(values), low: sorted[left] as number, high: sorted.at(-1 - left) as number };
}

/** The probability that the interval of this many values contains the true median, for any distribution. */
export function coverageOf(values: number): number {
  return coverage(values, leftOut(values));
}

/**
 * The number of values to leave out on each side for at least 95 % confidence; 0 if all values together do not reach
 * it.
 */
function leftOut(values: number): number {
  let left = 0;
  while (coverage(values, left + 1) >= wantedCoverage) left++;
  return left;
}

/**
 * Each value is below the true median with a probability of one half. The interval misses it if at most `left` values
 * are on one side.
 */
function coverage(values: number, left: number): number {
  let probability = 0.5 ** values;
  let missed = 0;
  for (let below = 0; below <= left; below++) {
    missed += probability;
    probability *= (values - below) / (below + 1);
  }
  return Math.max(0, 1 - 2 * missed);
}
