/** Results as a table for people: at the terminal, in the page, and explained in docs/reference/loadtest.md. */

import { markdownTable } from '@fanfare/kit/markdown-table';
import type { GarbageReport, LatencySummary, LoadResult } from '../load/result.js';

interface Column {
  readonly title: string;
  /** What the figure is and how to read it, for the docs. */
  readonly about: string;
  /** Empty if there is no such figure. */
  readonly cell: (result: LoadResult) => string;
}

const leastForMemory = 1_000;

export const loadColumns: readonly Column[] = [
  { title: 'run', about: 'the load: one run of the scenario', cell: ({ label }) => label },
  { title: 'server', about: 'the server under load', cell: ({ server }) => server },
  {
    title: 'valid',
    about: '`NO`: do not use the figures. The warnings below the table say why',
    cell: ({ complaints }) => (complaints.length === 0 ? 'yes' : 'NO'),
  },
  {
    title: 'published/s',
    about: 'publications sent per second of the measured time. It should be the requested rate',
    cell: ({ published, workload }) => count(published / workload.seconds),
  },
  {
    title: 'delivered/s',
    about:
      'publications delivered per second, to all subscribers together. This is not the maximum: `--find-max-rate` searches for that',
    cell: ({ deliveries, workload }) => count(deliveries / workload.seconds),
  },
  {
    title: 'missing',
    about:
      'deliveries that had not arrived when nothing arrived for five seconds. The load is not acknowledged, so none was promised. More than 0 makes the run invalid',
    cell: ({ lost }) => count(lost),
  },
  {
    title: 'latency p50 / p99 / max, ms',
    about:
      'from the scheduled time of a publication to its arrival: median, 99th percentile, maximum. Size by p99 and max, not by p50',
    cell: ({ latency }) => percentiles(latency),
  },
  {
    title: 'answer p50 / p99 / max, ms',
    about: 'over HTTP: from the scheduled time of a publication to the answer, which says that it was accepted',
    cell: ({ answers }) => percentiles(answers),
  },
  {
    title: 'server CPU per publication, µs',
    about: 'if nobody subscribes: CPU time of all servers, divided by the publications. Empty with `--url`',
    cell: ({ serverCpuUs, published, workload }) =>
      serverCpuUs === null || published === 0 || workload.subscribers > 0 ? '' : (serverCpuUs / published).toFixed(2),
  },
  {
    title: 'server CPU per delivery, µs',
    about:
      'CPU time of all servers, divided by the deliveries. A million divided by it is about what one core can deliver per second; leave half of that free. Empty with `--url`',
    cell: ({ serverCpuUsPerDelivery }) => serverCpuUsPerDelivery?.toFixed(3) ?? '',
  },
  {
    title: 'server CPU',
    about:
      'share of one CPU that all servers used together. A Fanfare node has one event loop, so a node near 100 % is saturated',
    cell: (result) => share(result.serverCpuUs, result),
  },
  {
    title: 'Redis CPU',
    about: 'the same for Redis, which all nodes share. Near 100 %, more nodes do not help',
    cell: (result) => share(result.redisCpuUs, result),
  },
  {
    title: 'longest GC pause, ms',
    about:
      'with `--garbage`: the longest pause for a garbage collection, of each server. Nothing is delivered meanwhile',
    cell: ({ garbage }) => eachServer(garbage, ({ longestPauseUs }) => milliseconds(longestPauseUs)),
  },
  {
    title: 'allocated per publication, bytes',
    about:
      'with `--garbage`: bytes allocated in the JavaScript heap, of each server, divided by the publications. They cause the collections',
    cell: ({ garbage, published }) => eachServer(garbage, ({ heapBytes }) => count(heapBytes / Math.max(1, published))),
  },
  {
    title: 'bytes per connection',
    about: `growth of the servers’ anonymous memory, divided by the connections. Empty below ${leastForMemory.toLocaleString('en-US')} connections, where it would be noise. The scenario \`idle\` shows it best`,
    cell: ({ serverBytesPerConnection, workload }) =>
      serverBytesPerConnection === null || workload.subscribers < leastForMemory ? '' : count(serverBytesPerConnection),
  },
  {
    title: 'connected, p99 ms',
    about:
      'subscribing connections at the end, and the 99th percentile of the time from their first packet until all their subscriptions were confirmed',
    cell: ({ connected, handshake }) => `${count(connected)}, ${milliseconds(handshake.p99)}`,
  },
  {
    title: 'back p50 / p99 / max, ms',
    about:
      'if connections break: from the break, or the end of the absence, until a connection was subscribed again. The last figure is the last connection',
    cell: ({ back }) => percentiles(back),
  },
];

/** If the width of the terminal is unknown. */
const usualWidth = 110;

/** A row for each result if that fits. Otherwise a column for each result, in several tables if there are many. */
export function loadTable(results: readonly LoadResult[], width = usualWidth): string {
  const notes = results.flatMap(({ label, server, complaints }) =>
    complaints.map((complaint) => `- ${label}, ${server}: ${complaint}`),
  );
  const figures = loadColumns
    .map(({ title, cell }) => [title, ...results.map(cell)] as const)
    .filter(([, ...cells]) => cells.some((cell) => cell !== ''));
  const flat = markdownTable(
    figures.map(([title]) => title),
    results.map((_, index) => figures.map((figure) => figure[index + 1] ?? '')),
  );
  const table = widthOf(flat) <= width ? flat : columnTables(figures, width).join('\n\n');
  return [table, ...(notes.length === 0 ? [] : ['', ...notes])].join('\n');
}

type Figure = readonly [title: string, ...cells: string[]];

function columnTables(figures: readonly Figure[], width: number): readonly string[] {
  const results = (figures[0]?.length ?? 1) - 1;
  const tableOf = (from: number, to: number): string => {
    const [head = [], ...rows] = figures.map(([title, ...cells]) => [title, ...cells.slice(from, to)]);
    return markdownTable(head, rows);
  };
  for (let tables = 1; ; tables++) {
    const each = Math.ceil(results / tables);
    const made = Array.from({ length: Math.ceil(results / each) }, (_, at) => tableOf(at * each, (at + 1) * each));
    if (each <= 1 || made.every((table) => widthOf(table) <= width)) return made;
  }
}

function widthOf(table: string): number {
  return table.indexOf('\n');
}

function percentiles({ count: values, p50, p99, max }: LatencySummary): string {
  return values === 0 ? '' : [p50, p99, max].map(milliseconds).join(' / ');
}

/** The figures of all servers in their order: the publishing one is the first if only one publishes. */
function eachServer(garbage: LoadResult['garbage'], figure: (report: GarbageReport) => string): string {
  return (garbage ?? []).map(figure).join(' / ');
}

export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

export function milliseconds(us: number): string {
  return us < 10_000 ? (us / 1_000).toFixed(2) : Math.round(us / 1_000).toString();
}

function share(cpuUs: number | null, { elapsedSeconds }: LoadResult): string {
  return cpuUs === null ? '' : `${Math.round(cpuUs / elapsedSeconds / 10_000)} %`;
}
