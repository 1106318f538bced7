/** Results as a table for people. */
import type { LoadResult } from './load/result.js';
import { markdownTable } from './markdown-table.js';

const head = [
  'run',
  'server',
  'published/s',
  'delivered/s',
  'lost',
  'latency p50 / p99 / max, ms',
  'server CPU per delivery, µs',
  'server CPU',
  'Redis CPU',
  'bytes per connection',
  'connected, p99 ms',
  'valid',
];

const leastForMemory = 1_000;

export function loadTable(results: readonly LoadResult[]): string {
  const notes = results.flatMap(({ label, server, complaints }) =>
    complaints.map((complaint) => `- ${label}, ${server}: ${complaint}`),
  );
  const rows = results.map((result) => [
    result.label,
    result.server,
    count(result.published / result.workload.seconds),
    count(result.deliveries / result.workload.seconds),
    count(result.lost),
    result.latency.count === 0
      ? ''
      : [result.latency.p50, result.latency.p99, result.latency.max].map(milliseconds).join(' / '),
    result.serverCpuUsPerDelivery?.toFixed(3) ?? '',
    share(result.serverCpuUs, result),
    share(result.redisCpuUs, result),
    // Of few connections it would be the noise of the process.
    result.serverBytesPerConnection === null || result.workload.subscribers < leastForMemory
      ? ''
      : count(result.serverBytesPerConnection),
    `${result.connected}, ${milliseconds(result.handshake.p99)}`,
    result.complaints.length === 0 ? 'yes' : 'NO',
  ]);
  return [markdownTable(head, rows), ...(notes.length === 0 ? [] : ['', ...notes])].join('\n');
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function milliseconds(us: number): string {
  return us < 10_000 ? (us / 1_000).toFixed(2) : Math.round(us / 1_000).toString();
}

function share(cpuUs: number | null, { elapsedSeconds }: LoadResult): string {
  return cpuUs === null ? '' : `${Math.round(cpuUs / elapsedSeconds / 10_000)} %`;
}
