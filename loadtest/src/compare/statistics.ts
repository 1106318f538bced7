/** What can be said about a ratio from a few rounds. */
import { median } from '../median.js';

export interface Estimate {
  readonly median: number;
  /** The interval that holds the median with 95 % confidence, by bootstrap; of few values nearly from the lowest to the highest. */
  readonly low: number;
  readonly high: number;
}

const resamples = 2_000;

/** Of the values of all rounds; null of none. */
export function estimate(values: readonly number[]): Estimate | null {
  if (values.length === 0) return null;
  const random = lehmer();
  const medians = Array.from({ length: resamples }, () =>
    median(values.map(() => values[Math.floor(random() * values.length)] as number)),
  ).toSorted((one, other) => one - other);
  const at = (share: number): number => medians[Math.floor(share * (resamples - 1))] as number;
  return { median: median(values), low: at(0.025), high: at(0.975) };
}

/** The same numbers each time: who computes the table again gets the same table. */
function lehmer(): () => number {
  let state = 1;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}
