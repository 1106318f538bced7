/**
 * Finds out whether a change has made Fanfare slower. Measures the ratios between Fanfare and other servers, and
 * compares them with recorded ratios.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { markdownTable } from '@fanfare/kit/markdown-table';
import type { Show } from '../runs/load-command.js';
import { type Comparison, compare } from './compare.js';
import { ratios } from './compare-report.js';
import { type By, type Figure, heapOf, isValid, longestPause, p50, p99, valuesOf } from './latency-figures.js';
import { type Estimate, estimate } from './statistics.js';

export const guardedRounds = 5;

/**
 * A ratio may be worse than the recorded one by this share: two runs on a shared machine differ by about half of it.
 */
export const tolerance = 0.15;

/** Medians of latency differ more between two runs, high percentiles and single pauses even more. */
const medianTolerance = 0.3;
const tailTolerance = 0.6;

/** Measured time of a run about latency: enough for 3,000 latencies at the lowest rate. */
const latencySeconds = 3;

/**
 * Each case with the servers that it needs. The others are compared with the last one: in `latency` by latency,
 * otherwise by CPU time.
 */
const guarded = {
  'fan-out': ['fanfare-fast', 'fanfare', 'raw'],
  burst: ['fanfare-fast', 'fanfare', 'raw-deferred'],
  'point-to-point': ['fanfare-fast', 'fanfare', 'raw'],
  'cross-node': ['fanfare-fast', 'fanfare', 'ws-redis'],
  latency: ['fanfare-fast', 'fanfare', 'socketio'],
} as const;

export type GuardedCase = keyof typeof guarded;
export const guardedCases = Object.keys(guarded) as readonly GuardedCase[];

interface GuardedFigure extends Estimate {
  readonly what: string;
  /** Which direction is better: more deliveries for the same CPU time, or less time or memory. */
  readonly better: 'more' | 'less';
  readonly tolerance: number;
}

const file = fileURLToPath(new URL('../../baseline.json', import.meta.url));

export async function measureGuard(
  names: readonly GuardedCase[],
  rounds: number,
  show: Show,
): Promise<readonly GuardedFigure[]> {
  const figures: GuardedFigure[] = [];
  for (const name of names) {
    const seconds = name === 'latency' ? latencySeconds : null;
    const options = { cases: [name], servers: guarded[name], rounds, seconds, idleSubscribers: 0 };
    const { comparisons } = await compare(options, show);
    for (const comparison of comparisons) figures.push(...figuresOf(comparison));
  }
  return figures;
}

/** The guarded figures of a comparison, without those that no valid round has. */
export function figuresOf({ name, results }: Comparison): readonly GuardedFigure[] {
  const servers: readonly string[] = guarded[name as GuardedCase];
  const other = servers.at(-1) ?? '';
  return servers.slice(0, -1).flatMap((server) =>
    [...new Set(results.map(({ label }) => label))].flatMap((label) => {
      const ofLabel = results.filter((result) => result.label === label);
      if (name === 'latency') return latencyFigures(ofLabel, server, other);
      const found = estimate(ratios(ofLabel, server, other));
      const what = `${name}, ${label}: ${server} against ${other}`;
      return found === null ? [] : [{ what, better: 'more' as const, tolerance, ...found }];
    }),
  );
}

/** Allocations do not depend on the machine, so they are not relative to another server. */
function latencyFigures(results: Comparison['results'], server: string, other: string): readonly GuardedFigure[] {
  const by = { server: other };
  const rows: readonly (readonly [what: string, figure: Figure, by: By, tolerance: number])[] = [
    [`p50 of ${server} against ${other}`, p50, by, medianTolerance],
    [`p99 of ${server} against ${other}`, p99, by, tailTolerance],
    [`longest pause of ${server} against ${other}`, longestPause, by, tailTolerance],
    [`heap bytes of ${server}, publishing node`, heapOf(0), null, tolerance],
    [`heap bytes of ${server}, receiving node`, heapOf(1), null, tolerance],
  ];
  const own = results.filter((result) => result.server === server && isValid(result));
  return rows.flatMap(([what, figure, by, allowed]) => {
    const found = estimate(valuesOf(results, own, figure, by));
    const full = `latency, ${results[0]?.label}: ${what}`;
    return found === null ? [] : [{ what: full, better: 'less' as const, tolerance: allowed, ...found }];
  });
}

interface Judgement {
  readonly table: string;
  readonly isGood: boolean;
}

/**
 * A figure is worse only if even its better bound is beyond the tolerated value: noise is not a regression. A figure
 * without a recorded one is only shown.
 */
export function judge(measured: readonly GuardedFigure[], baseline: readonly GuardedFigure[]): Judgement {
  let isGood = true;
  const rows = baseline.map((recorded) => {
    const now = measured.find(({ what }) => what === recorded.what);
    const isMore = recorded.better === 'more';
    const limit = recorded.median * (isMore ? 1 - recorded.tolerance : 1 + recorded.tolerance);
    const isWorse = now !== undefined && (isMore ? now.high < limit : now.low > limit);
    const verdict = now === undefined ? 'NOT MEASURED' : isWorse ? 'WORSE' : 'good';
    if (verdict !== 'good') isGood = false;
    const bound = `at ${isMore ? 'least' : 'most'} ${short(limit)}`;
    return [recorded.what, text(recorded), now === undefined ? '' : text(now), bound, verdict];
  });
  const unknown = measured.filter(({ what }) => !baseline.some((recorded) => recorded.what === what));
  for (const now of unknown) rows.push([now.what, '', text(now), '', 'not recorded']);
  return { table: markdownTable(['figure', 'recorded', 'now', 'limit', 'verdict'], rows), isGood };
}

function text({ median, low, high }: Estimate): string {
  return `${short(median)} (${short(low)} to ${short(high)})`;
}

function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(2);
}

/** The recorded figures of these cases. */
export async function readBaseline(names: readonly GuardedCase[]): Promise<readonly GuardedFigure[]> {
  return (await readAll()).filter((figure) => names.some((name) => belongsTo(figure, name)));
}

/** Keeps recorded figures that were not measured: those of other cases, and those without a valid round. */
export async function writeBaseline(measured: readonly GuardedFigure[]): Promise<void> {
  const kept = (await readAll()).filter(({ what }) => !measured.some((figure) => figure.what === what));
  const all = [...kept, ...measured].map((figure) => ({
    ...figure,
    ...{ median: round(figure.median), low: round(figure.low), high: round(figure.high) },
  }));
  // Always in the same order, so that a diff of the file shows only the figures that changed.
  all.sort((one, other) => (one.what < other.what ? -1 : 1));
  await writeFile(file, `${JSON.stringify(all, null, 2)}\n`);
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

function belongsTo({ what }: GuardedFigure, name: GuardedCase): boolean {
  return what.startsWith(`${name}, `);
}

async function readAll(): Promise<readonly GuardedFigure[]> {
  return JSON.parse(await readFile(file, 'utf8')) as GuardedFigure[];
}
