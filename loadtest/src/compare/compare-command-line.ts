/** The command lines of `npm run compare` and `npm run guard`. */
import {
  choices,
  describeNames,
  describeOptions,
  integer,
  number,
  parseOptions,
  text,
  toggle,
  UsageError,
} from '@fanfare/kit/options';
import { servers } from '../servers/servers.js';
import { cases } from './cases.js';
import type { CompareOptions } from './compare.js';
import { type GuardedCase, guardedCases, guardedRounds, tolerance } from './guard.js';

type CompareRequest =
  | { readonly name: 'compare'; readonly options: CompareOptions; readonly jsonFile: string | null }
  | {
      readonly name: 'guard';
      readonly cases: readonly GuardedCase[];
      readonly rounds: number;
      readonly isRecording: boolean;
    };

const caseNames = Object.keys(cases);

const rounds = (fallback: number) =>
  integer('turns of each server; 95 % confidence needs at least 6', fallback, 1, 1_000);

const named = choices('cases to run', caseNames, null);
const casesOption: typeof named = {
  ...named,
  about: `${named.about}; none measures idle subscribers only`,
  read: (name, given) => (given === 'none' ? [] : named.read(name, given)),
};

const compareOptions = {
  cases: casesOption,
  servers: choices('only these servers', Object.keys(servers), null),
  rounds: rounds(5),
  seconds: number('measured time, instead of the time of each case', null, 0.1, 3_600, 'seconds'),
  idle: integer('idle subscribers for the memory table; 0 leaves it out', 5_000, 0, 15_000),
  json: text('write all results to a file', '<file>', null),
};

const guardOptions = {
  cases: choices('cases to measure', guardedCases, 'all'),
  rounds: rounds(guardedRounds),
  record: toggle('record the figures as the new baseline; figures of other cases stay'),
};

const compareHelp = `Compares Fanfare with other brokers on this machine, as ratios of CPU time, and by latency. Servers take turns. All cases take about
two hours.
docs/performance.md has the tables. Servers that are not installed are left out; loadtest/install-peers.sh installs them on Debian.

usage: npm run compare -- [options]

cases:
${describeNames(caseNames.map((name) => [name, cases[name]?.title ?? '']))}

options:
${describeOptions(compareOptions)}
`;

const guardHelp = `Measures some figures of npm run compare, and fails if one is worse than in loadtest/baseline.json by more than
${Math.round(tolerance * 100)} %, or by more than the file allows for latency.

usage: npm run guard -- [options]

${describeOptions(guardOptions)}
`;

export function parseCompare(args: readonly string[]): CompareRequest {
  if (args[0] === 'guard') {
    const parsed = parseOptions(args.slice(1), guardOptions, () => guardHelp);
    const { cases: named, rounds: count, record } = parsed.values;
    return { name: 'guard', cases: named, rounds: count, isRecording: record };
  }
  const parsed = parseOptions(args, compareOptions, () => compareHelp);
  const { cases: named, servers: chosen, rounds: count, seconds, idle, json } = parsed.values;
  return {
    name: 'compare',
    jsonFile: json,
    options: { rounds: count, cases: casesFor(named, chosen), servers: chosen, seconds, idleSubscribers: idle },
  };
}

/** The named cases, or all that have one of the chosen servers. */
function casesFor(named: readonly string[] | null, chosen: readonly string[] | null): readonly string[] {
  if (named?.length === 0) return [];
  const isEmpty = (name: string): boolean =>
    chosen !== null && !cases[name]?.servers.some((server) => chosen.includes(server));
  const found = named ?? caseNames.filter((name) => !isEmpty(name));
  const empty = found.length === 0 ? 'any case' : found.find(isEmpty);
  if (empty === undefined) return found;
  const valid = cases[empty]?.servers ?? Object.keys(servers).filter(isCompared);
  throw new UsageError(`--servers has no server of ${empty}. Valid: ${valid.join(', ')}.`);
}

function isCompared(server: string): boolean {
  return Object.values(cases).some((each) => each.servers.includes(server));
}
