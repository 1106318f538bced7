/** Latency by percentile, as HdrHistogram draws it: 50 %, 90 %, 99 %, 99.9 % at the same distance from each other. */
import type { Histogram } from 'hdr-histogram-js';
import { count, milliseconds } from '../load-table.js';
import { type Figure, type Point, scaleOf } from './chart.js';
import { latencyOf, nameOf, notesOn, type Section, unique } from './group.js';

const pointsPerDecade = 12;
/** More lines than this cannot be told apart: then each run has a chart of its own. */
const mostLines = 8;
const columns = [50, 90, 99, 99.9, 99.99];

export function latencyFigures(section: Section): readonly Figure[] {
  const groups = section.groups.filter(({ rounds }) => rounds.some(({ latency }) => latency.count > 0));
  if (groups.length === 0) return [];
  const isTogether = groups.length <= mostLines;
  return (isTogether ? [null] : unique(groups.map(({ run }) => run))).map((run, index): Figure => {
    const own = groups.filter((group) => run === null || group.run === run);
    const runs = unique(own.map((group) => group.run));
    const lines = own.map((group) => ({ group, name: nameOf(group, runs), histogram: latencyOf(group) }));
    const series = lines.map(({ group, name, histogram }) => ({
      name,
      color: group.color,
      dash: runs.indexOf(group.run),
      marks: 'none' as const,
      isValid: group.isValid,
      points: percentilePoints(histogram),
    }));
    return {
      chart: {
        id: `latency-${section.scenario}-${index}`,
        shape: 'lines',
        title: `Latency by percentile${runs.length === 1 ? `: ${runs[0]}` : ''}`,
        x: { title: 'share of the deliveries that took no longer', scale: 'percentiles' },
        y: { title: 'latency, ms', scale: scaleOf(series.flatMap(({ points }) => points.map(({ y }) => y))) },
        categories: [],
        series,
        marks: [],
      },
      about:
        'From the moment at which a publication was to leave to its arrival. The further right, the rarer: at 99.9 % one delivery of a thousand took longer. Rounds are put together by adding the counts of their histograms.',
      notes: notesOn(own),
      numbers: {
        head: ['server and run', ...columns.map((percentile) => `${percentile} %, ms`), 'max, ms', 'values'],
        rows: lines.map(({ name, histogram }) => [
          name,
          ...columns.map((percentile) => milliseconds(histogram.getValueAtPercentile(percentile))),
          milliseconds(histogram.maxValue),
          count(histogram.totalCount),
        ]),
      },
    };
  });
}

/** x is 1 / (1 - p), up to the one slowest value of all. */
export function percentilePoints(histogram: Histogram): readonly Point[] {
  const { totalCount } = histogram;
  if (totalCount === 0) return [];
  const points: Point[] = [];
  for (let step = 0; ; step++) {
    const x = 10 ** (step / pointsPerDecade);
    if (x >= totalCount) break;
    points.push({ x, y: histogram.getValueAtPercentile(100 * (1 - 1 / x)) / 1_000 });
  }
  points.push({ x: totalCount, y: histogram.maxValue / 1_000 });
  return points;
}
