/** Latencies in microseconds. Histograms of several processes or rounds add up; their percentiles do not. */
import { build, decodeFromCompressedBase64, type Histogram } from 'hdr-histogram-js';

/** Longer latencies count as this one. */
export const longestUs = 60_000_000;

/** Latencies from 1 µs to a minute, with three digits. */
export function newHistogram(): Histogram {
  return build({ lowestDiscernibleValue: 1, highestTrackableValue: longestUs, numberOfSignificantValueDigits: 3 });
}

export function recordUs(histogram: Histogram, us: number): void {
  histogram.recordValue(Math.min(longestUs, Math.max(1, us)));
}

export function mergeHistograms(encoded: readonly string[]): Histogram {
  const all = newHistogram();
  for (const histogram of encoded) all.add(decodeFromCompressedBase64(histogram));
  return all;
}
