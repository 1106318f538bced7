/** Throughput against latency: how much more a load costs in latency. */
import type { LoadResult } from '../load/result.js';
import { type Figure, scaleOf } from './chart.js';
import { type Group, notesOn, type Section, unique } from './group.js';
import { count, milliseconds } from './load-table.js';

/** Highest against lowest. */
const leastSpread = 1.1;

export function throughputFigures(section: Section): readonly Figure[] {
  const groups = section.groups.filter(({ rounds }) => rounds.some(({ latency }) => latency.count > 0));
  const throughputs = groups.flatMap(({ rounds }) => rounds.map(deliveredPerSecond));
  // With a single throughput, the table and the percentiles show the same.
  if (throughputs.length < 2 || Math.max(...throughputs) < leastSpread * Math.min(...throughputs)) return [];
  const series = unique(groups.map(({ server, isValid }) => JSON.stringify([server, isValid]))).flatMap((key) => {
    const own = groups.filter(({ server, isValid }) => JSON.stringify([server, isValid]) === key);
    return (['p50', 'p99'] as const).map((percentile) => seriesOf(own, percentile));
  });
  const all = series.flatMap((each) => each.points);
  return [
    {
      chart: {
        id: `throughput-${section.scenario}`,
        shape: 'points',
        title: 'Throughput against latency',
        x: { title: 'deliveries a second', scale: scaleOf(all.map(({ x }) => x)) },
        y: { title: 'latency, ms', scale: scaleOf(all.map(({ y }) => y)) },
        categories: [],
        series,
        marks: [],
      },
      about: 'A full mark is the median of one round, a hollow one its 99th percentile.',
      notes: notesOn(groups),
      numbers: {
        head: ['server', 'run', 'delivered/s', 'p50, ms', 'p99, ms', 'valid'],
        rows: groups.flatMap((group) =>
          group.rounds.map((round) => [
            group.server,
            group.run,
            count(deliveredPerSecond(round)),
            milliseconds(round.latency.p50),
            milliseconds(round.latency.p99),
            group.isValid ? 'yes' : 'NO',
          ]),
        ),
      },
    },
  ];
}

function seriesOf(groups: readonly Group[], percentile: 'p50' | 'p99') {
  const [{ server, color, isValid } = { server: '', color: 0, isValid: true }] = groups;
  return {
    name: `${isValid ? '' : 'INVALID: '}${server}, ${percentile}`,
    color,
    dash: 0,
    marks: percentile === 'p50' ? ('full' as const) : ('hollow' as const),
    isValid,
    points: groups.flatMap(({ run, rounds }) =>
      rounds.map((round) => ({ x: deliveredPerSecond(round), y: round.latency[percentile] / 1_000, label: run })),
    ),
  };
}

function deliveredPerSecond({ deliveries, workload }: LoadResult): number {
  return deliveries / workload.seconds;
}
