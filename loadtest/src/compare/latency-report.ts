/** The tables of the cases about latency: the measurements, and a comparison with the targets. */
import { markdownTable } from '@fanfare/kit/markdown-table';
import { median } from '@fanfare/kit/median';
import type { GarbageReport, LoadResult } from '../load/result.js';
import type { Comparison } from './compare.js';
import { costOf, tableOfFilled } from './figures.js';
import { heldNothing } from './latency-cases.js';
import {
  type By,
  type Figure,
  heapOf,
  isValid,
  longestPause,
  ofNode,
  p50,
  p99,
  scavengeMsOf,
  valuesOf,
} from './latency-figures.js';
import { type Estimate, estimate } from './statistics.js';

type Results = Comparison['results'];

export function latencySection({ name, results }: Comparison): string {
  const targets = judgeTargets(name, results);
  const about =
    'Medians of the rounds. Latency counts from the planned moment of sending. Pauses and allocations: of the publishing node, then of the receiving node; a program that is not Node has none. "Heap" is what V8 allocated per publication, "buffers" is memory outside the heap (a lower bound).';
  const parts = [about, figuresTable(results)];
  if (targets.length > 0) {
    const head = ['load', 'server', 'target', 'at most', 'now', 'met'];
    parts.push('Targets. A ratio is the median of the ratios within a round, with the lowest and highest.');
    parts.push(markdownTable(head, targets.map(rowOf)));
  }
  return parts.join('\n\n');
}

function figuresTable(results: Results): string {
  const rows = groupsOf(results).map(({ label, server, own, valid }) => {
    const cell = (figure: Figure, digits: number): string => {
      const values = valid.flatMap((result) => figure(result) ?? []);
      return values.length === 0 ? '' : median(values).toFixed(digits);
    };
    const nodes = Math.max(0, ...valid.map(({ garbage }) => garbage?.length ?? 0));
    const each = (pick: (report: GarbageReport, result: LoadResult) => number, digits: number): string =>
      Array.from({ length: nodes }, (_, node) => cell(ofNode(node, pick), digits)).join(' / ');
    return [
      label,
      server,
      cell(({ latency }) => latency.p50 / 1_000, 2),
      cell(({ latency }) => latency.p99 / 1_000, 2),
      cell(({ latency }) => latency.p999 / 1_000, 2),
      cell(({ latency }) => latency.max / 1_000, 1),
      each(({ longestPauseUs }) => longestPauseUs / 1_000, 1),
      each(({ longestScavengeUs }) => longestScavengeUs / 1_000, 1),
      each(({ scavenges }) => scavenges, 0),
      each(({ heapBytes }, { published }) => heapBytes / published, 0),
      each(({ bufferBytes }, { published }) => bufferBytes / published, 0),
      cell(costOf, 2),
      `${valid.length} of ${own.length}`,
    ];
  });
  const head = ['load', 'server', 'p50, ms', 'p99, ms', 'p99.9, ms', 'max, ms', 'longest pause, ms'];
  head.push('longest scavenge, ms', 'scavenges', 'heap, bytes', 'buffers, bytes', 'CPU per delivery, µs');
  return tableOfFilled([...head, 'valid rounds'], rows);
}

interface Group {
  readonly label: string;
  readonly server: string;
  readonly own: Results;
  readonly valid: Results;
}

function groupsOf(results: Results): readonly Group[] {
  const labels = [...new Set(results.map(({ label }) => label))];
  const servers = [...new Set(results.map(({ server }) => server))];
  return labels.flatMap((label) =>
    servers.flatMap((server) => {
      const own = results.filter((result) => result.label === label && result.server === server);
      return own.length === 0 ? [] : [{ label, server, own, valid: own.filter(isValid) }];
    }),
  );
}

/** Issue 15. */
interface Target {
  readonly what: string;
  readonly figure: Figure;
  readonly atMost: number;
  readonly by: By;
  /** The target applies only to this load. Null: to all loads. */
  readonly label: string | null;
}

function target(what: string, figure: Figure, atMost: number, rest: Partial<Target> = {}): Target {
  return { what, figure, atMost, by: null, label: null, ...rest };
}

const targets: Readonly<Record<string, readonly Target[]>> = {
  latency: [
    target('p99, times Socket.IO', p99, 0.8, { by: { server: 'socketio' } }),
    target('p99, times NATS (goal)', p99, 1.2, { by: { server: 'nats' } }),
    target('p50, times ioredis', p50, 1.2, { by: { server: 'ioredis' } }),
    target('p99.9, ms', ({ latency }) => latency.p999 / 1_000, 10),
    target('heap bytes per publication, publishing node', heapOf(0), 3_000),
    target('heap bytes per publication, receiving node', heapOf(1), 1_000),
    target('longest scavenge, publishing node, ms', scavengeMsOf(0), 3, { label: '10,000/s' }),
    target('longest scavenge, receiving node, ms', scavengeMsOf(1), 3, { label: '10,000/s' }),
  ],
  'latency-fan-out': [target('p99, times raw', p99, 1.3, { by: { server: 'raw' } })],
  'latency-held': [
    target('longest pause, relative to the run without other work', longestPause, 1.1, { by: { label: heldNothing } }),
    target('p99, relative to the run without other work', p99, 1.1, { by: { label: heldNothing } }),
  ],
};

/** The issue has targets only for these. */
const judged = ['fanfare-fast', 'fanfare'];

interface JudgedTarget extends Target, Estimate {
  readonly load: string;
  readonly server: string;
}

/** Omits targets that this comparison cannot judge, because a server or a figure is missing. */
export function judgeTargets(name: string, results: Results): readonly JudgedTarget[] {
  return groupsOf(results).flatMap(({ label, server, valid }) =>
    (targets[name] ?? []).flatMap((each) => {
      const { by } = each;
      const isSame = by !== null && 'label' in by && by.label === label;
      if (!judged.includes(server) || isSame || (each.label ?? label) !== label) return [];
      const found = estimate(valuesOf(results, valid, each.figure, by));
      return found === null ? [] : [{ ...each, ...found, load: label, server }];
    }),
  );
}

function rowOf({ load, server, what, atMost, median: now, low, high }: JudgedTarget): readonly string[] {
  const text = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(2));
  const interval = text(low) === text(high) ? '' : ` (${text(low)} to ${text(high)})`;
  return [load, server, what, String(atMost), `${text(now)}${interval}`, now <= atMost ? 'yes' : 'NO'];
}
