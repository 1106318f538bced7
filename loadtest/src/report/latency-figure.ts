/** Latency by percentile, as HdrHistogram draws it: 50 %, 90 %, 99 %, 99.9 % at the same distance from each other. */

import { mergeHistograms } from '@fanfare/kit/histogram';
import type { Histogram } from 'hdr-histogram-js';
import { type Figure, type Point, scaleOf } from './chart.js';
import { nameOf, notesOn, type Section, unique } from './group.js';
import { count, milliseconds } from './load-table.js';

const pointsPerDecade = 12;
/** More lines than this are hard to distinguish, so each run gets its own chart. */
const mostLines = 8;
const columns = [50, 90, 99, 99.9, 99.99];

interface Measure {
  readonly key: 'latency' | 'back';
  readonly title: string;
  readonly axis: string;
  readonly share: string;
  readonly about: string;
}

const measures: readonly Measure[] = [
  {
    key: 'latency',
    title: 'Latency by percentile',
    axis: 'latency, ms',
    share: 'share of the deliveries that took no longer',
    about:
      'From the scheduled time of a publication to its arrival. At 99.9 %, for example, one delivery of a thousand took longer.',
  },
  {
    key: 'back',
    title: 'Time until connections were back',
    axis: 'time, ms',
    share: 'share of the connections that were back by then',
    about: 'From the break, or the end of the absence, until a connection was subscribed again.',
  },
];

export function latencyFigures(section: Section): readonly Figure[] {
  return measures.flatMap((measure) => figuresOf(measure, section));
}

function figuresOf({ key, title, axis, share, about }: Measure, section: Section): readonly Figure[] {
  const groups = section.groups.filter(({ rounds }) => rounds.some((round) => round[key].count > 0));
  if (groups.length === 0) return [];
  const isTogether = groups.length <= mostLines;
  return (isTogether ? [null] : unique(groups.map(({ run }) => run))).map((run, index): Figure => {
    const own = groups.filter((group) => run === null || group.run === run);
    const runs = unique(own.map((group) => group.run));
    const lines = own.map((group) => ({
      group,
      name: nameOf(group, runs),
      // All rounds as one: counts are added, and percentiles are of the sum.
      histogram: mergeHistograms(group.rounds.map((round) => round[key].histogram)),
    }));
    const series = lines.map(({ group, name, histogram }) => ({
      name,
      color: group.color,
      dash: runs.indexOf(group.run),
      marks: 'none' as const,
      isValid: group.isValid,
      points: percentilePoints(histogram),
    }));
    const hasRounds = own.some(({ rounds }) => rounds.length > 1);
    return {
      chart: {
        id: `${key}-${section.scenario}-${index}`,
        shape: 'lines',
        title: runs.length === 1 ? `${title}: ${runs[0]}` : title,
        x: { title: share, scale: 'percentiles' },
        y: { title: axis, scale: scaleOf(series.flatMap(({ points }) => points.map(({ y }) => y))) },
        categories: [],
        series,
        marks: [],
      },
      about: hasRounds ? `${about} The histograms of all rounds are added.` : about,
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
