/** Results as a table for people: at the terminal, in the page, and explained in docs/reference/loadtest.md. */

import { markdownTable } from '@fanfare/kit/markdown-table';
import type { LatencySummary, LoadResult } from '../load/result.js';

interface Column {
  readonly title: string;
  /** What the figure is and how to read it, for the docs. */
  readonly about: string;
  /** Empty where there is no such figure. */
  readonly cell: (result: LoadResult) => string;
}

const leastForMemory = 1_000;

export const loadColumns: readonly Column[] = [
  { title: 'run', about: 'which load; a scenario makes one or several', cell: ({ label }) => label },
  { title: 'server', about: 'what was under it', cell: ({ server }) => server },
  {
    title: 'valid',
    about: '`NO`: something speaks against the figures. The complaints below the table say what',
    cell: ({ complaints }) => (complaints.length === 0 ? 'yes' : 'NO'),
  },
  {
    title: 'published/s',
    about: 'publications that were sent, a second of the measured time. It should be the rate that was asked for',
    cell: ({ published, workload }) => count(published / workload.seconds),
  },
  {
    title: 'delivered/s',
    about:
      'publications that subscribers got, all of them together. The load is offered, so this is no limit: `--find-max-rate` looks for it',
    cell: ({ deliveries, workload }) => count(deliveries / workload.seconds),
  },
  {
    title: 'missing',
    about:
      'deliveries of publications that were sent and had not arrived when nothing came for five seconds. They were sent without acknowledgement, so none was promised; but anything but 0 makes the run invalid',
    cell: ({ lost }) => count(lost),
  },
  {
    title: 'latency p50 / p99 / max, ms',
    about:
      'from the moment at which a publication was to leave to its arrival: half of the deliveries took no longer than the first figure, 99 % no longer than the second. Size by p99 and max, not by p50',
    cell: ({ latency }) => percentiles(latency),
  },
  {
    title: 'server CPU per delivery, µs',
    about:
      'CPU time of all servers divided by the deliveries. A million divided by it is about what one core can deliver a second; leave half of that free. Empty with `--url`',
    cell: ({ serverCpuUsPerDelivery }) => serverCpuUsPerDelivery?.toFixed(3) ?? '',
  },
  {
    title: 'server CPU',
    about:
      'share of one CPU that all servers used together; a Fanfare node has one event loop, so near 100 % for a node it is full',
    cell: (result) => share(result.serverCpuUs, result),
  },
  {
    title: 'Redis CPU',
    about: 'the same of Redis, which all nodes share: where it comes near 100 %, more nodes do not help',
    cell: (result) => share(result.redisCpuUs, result),
  },
  {
    title: 'bytes per connection',
    about: `growth of the servers’ anonymous memory, divided by the connections. Only from ${leastForMemory.toLocaleString('en-US')} connections on: of fewer it would be the noise of the process. The scenario \`idle\` shows it best`,
    cell: ({ serverBytesPerConnection, workload }) =>
      serverBytesPerConnection === null || workload.subscribers < leastForMemory ? '' : count(serverBytesPerConnection),
  },
  {
    title: 'connected, p99 ms',
    about:
      'subscribing connections at the end, and the time that 99 % of them did not pass from their first packet until all their subscriptions stood',
    cell: ({ connected, handshake }) => `${count(connected)}, ${milliseconds(handshake.p99)}`,
  },
  {
    title: 'back p50 / p99 / max, ms',
    about:
      'where connections break: from the break, or the end of the absence, until a connection was subscribed again. The last figure is when the last one was back',
    cell: ({ back }) => percentiles(back),
  },
];

/** Where nobody says how wide the terminal is. */
const usualWidth = 110;

/** A line for each result where that fits; else a column for each, in several tables where they are many. */
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

export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

export function milliseconds(us: number): string {
  return us < 10_000 ? (us / 1_000).toFixed(2) : Math.round(us / 1_000).toString();
}

function share(cpuUs: number | null, { elapsedSeconds }: LoadResult): string {
  return cpuUs === null ? '' : `${Math.round(cpuUs / elapsedSeconds / 10_000)} %`;
}
