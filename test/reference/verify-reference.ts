/**
 * The table of several Redis servers in docs/guarantees.md. Its rows come from verify-runs.jsonl in this folder, to
 * which `npm run verify -- --append test/reference/verify-runs.jsonl …` adds a line for each fault.
 */
import { readFileSync } from 'node:fs';
import { levels } from '../../tools/kit/src/level.js';
import { transports } from '../../tools/verify/src/checker/checker.js';
import { placements } from '../../tools/verify/src/cluster/placement.js';
import type { RunRecord } from '../../tools/verify/src/fault-run/run-record.js';
import { faults } from '../../tools/verify/src/faults/index.js';
import { table } from './table.js';

const head = [
  'fault',
  '`--redis`',
  'level',
  '`--transports`',
  'verdict',
  'acknowledged',
  'refused / unknown',
  'delivered',
  'lost, twice, out of order, unreported',
  'gaps / resets',
  'other servers: p99 before, during; longest wait, ms',
];

/** The whole page, with the present table. */
export function guaranteesPage(text: string): string {
  const firstCells = head.slice(0, 2).join(' | ');
  const start = text.indexOf(`| ${firstCells} |`);
  if (start < 0) throw new Error(`docs/guarantees.md has no table that begins with ${firstCells}.`);
  const end = text.indexOf('\n\n', start);
  return text.slice(0, start) + table(head, newest(readRuns()).map(rowOf)) + text.slice(end);
}

function readRuns(): RunRecord[] {
  const lines = readFileSync(new URL('verify-runs.jsonl', import.meta.url), 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as RunRecord);
}

/** The last run of each combination. By placement, then in the order of `npm run verify -- --list`. */
function newest(runs: readonly RunRecord[]): RunRecord[] {
  const ranked = runs.map((run) => [rankOf(run), run] as const);
  return [...new Map(ranked).entries()].toSorted(([one], [other]) => one.localeCompare(other)).map(([, run]) => run);
}

/** Throws if `npm run verify` has no such run. */
function rankOf({ fault, redis, level, transports: chosen }: RunRecord): string {
  const ranks = [
    placements.indexOf(redis),
    faults.findIndex(({ name, placements: own }) => name === fault && own.includes(redis)),
    levels.indexOf(level),
    chosen.length,
    ...chosen.map((transport) => transports.indexOf(transport)),
  ];
  if (ranks.includes(-1)) throw new Error(`verify-runs.jsonl has a run that is impossible: ${fault} with ${redis}.`);
  return ranks.map((rank) => String(rank).padStart(3, '0')).join(' ');
}

function rowOf(run: RunRecord): string[] {
  const { lost, duplicated, reordered, unreported, others } = run;
  return [
    run.fault,
    run.redis,
    run.level,
    run.transports.length === transports.length ? 'all' : run.transports.join(', '),
    run.verdict,
    count(run.acknowledged),
    `${count(run.refused)} / ${count(run.unknown)}`,
    count(run.delivered),
    [lost, duplicated, reordered, unreported].map(count).join(', '),
    `${count(run.gaps)} / ${count(run.resets)}`,
    others === null ? '' : `${others.p99BeforeMs}, ${others.p99DuringMs}; ${others.longestWaitMs}`,
  ];
}

function count(value: number): string {
  return value.toLocaleString('en');
}
