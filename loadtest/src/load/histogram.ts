/** Latencies of several processes or rounds as one: counts are added; percentiles are of the sum, never means of percentiles. */
import { decodeFromCompressedBase64, type Histogram } from 'hdr-histogram-js';
import { newHistogram } from './reception.js';

export function mergeHistograms(encoded: readonly string[]): Histogram {
  const all = newHistogram();
  for (const histogram of encoded) all.add(decodeFromCompressedBase64(histogram));
  return all;
}
