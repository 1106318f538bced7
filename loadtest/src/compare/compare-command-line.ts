/** The words of `npm run compare` and `npm run guard`. */
import { type Flags, readFlags, readInteger, readNames, readNumber, UsageError } from '@fanfare/kit/flags';
import { servers } from '../servers/servers.js';
import { cases } from './cases.js';
import type { CompareOptions } from './compare.js';
import { guardedRounds, tolerance } from './guard.js';

export type CompareRequest =
  | { readonly name: 'help' }
  | { readonly name: 'compare'; readonly options: CompareOptions; readonly jsonFile: string | null }
  | { readonly name: 'guard'; readonly rounds: number; readonly isRecording: boolean };

const caseNames = Object.keys(cases);

export const compareHelp = `Compares Fanfare with others on this machine, all in turns, as ratios of CPU time.

usage: npm run compare -- [options]      the tables of docs/performance.md; everything takes about an hour
       npm run guard -- [--record]       some ratios against those recorded in loadtest/baseline.json; fails where one
                                         is worse by more than ${Math.round(tolerance * 100)} %

  --cases <names>    which (default: all):
${caseNames.map((name) => `                       ${name}: ${cases[name]?.title}`).join('\n')}
                       none: only idle subscribers
  --servers <names>  only these, of ${Object.keys(servers).join(', ')}
  --rounds <n>       how often each has its turn (default: 5; guard: ${guardedRounds}); 6 are the fewest for 95 % confidence
  --seconds <n>      length of each measured time (default: the case's)
  --idle <n>         subscribers for the memory figure (default: 5000, at most 15000; 0: leave it out)
  --json <file>      write all results to a file
  --record           of guard: record what is measured as the baseline
  --help             show this

Those that are not installed are left out, aloud: loadtest/install-peers.sh brings them on Debian.
`;

const flags = {
  cases: { type: 'string', choices: [...caseNames, 'none'] },
  servers: { type: 'string', choices: Object.keys(servers) },
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  idle: { type: 'string', default: '5000' },
  json: { type: 'string' },
  record: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const satisfies Flags;

export function parseCompare(args: readonly string[]): CompareRequest {
  const { positionals, values } = readFlags(args, flags);
  if (values.help) return { name: 'help' };
  const [first, ...rest] = positionals;
  const unexpected = first === 'guard' ? rest[0] : first;
  if (unexpected !== undefined) throw new UsageError(`"${unexpected}" stands where an option was expected.`);
  const rounds = readInteger('--rounds', values.rounds ?? String(first === 'guard' ? guardedRounds : 5), 1, 1_000);
  if (first === 'guard') return { name: 'guard', rounds, isRecording: values.record };
  const chosen = values.servers === undefined ? null : readNames('--servers', values.servers, Object.keys(servers));
  return {
    name: 'compare',
    jsonFile: values.json ?? null,
    options: {
      rounds,
      cases: readCases(values.cases, chosen),
      servers: chosen,
      seconds: values.seconds === undefined ? null : readNumber('--seconds', values.seconds, 0.1, 3_600),
      idleSubscribers: readInteger('--idle', values.idle, 0, 15_000),
    },
  };
}

/** Those that were asked for, or all that have something to compare. */
function readCases(given: string | undefined, chosen: readonly string[] | null): readonly string[] {
  if (given === 'none') return [];
  const isEmpty = (name: string): boolean =>
    chosen !== null && !cases[name]?.servers.some((server) => chosen.includes(server));
  const named =
    given === undefined ? caseNames.filter((name) => !isEmpty(name)) : readNames('--cases', given, caseNames);
  const empty = named.length === 0 ? 'any case' : named.find(isEmpty);
  if (empty === undefined) return named;
  const there = cases[empty]?.servers ?? Object.keys(servers).filter(isCompared);
  throw new UsageError(`--servers names none that ${empty} has: ${there.join(', ')}.`);
}

function isCompared(server: string): boolean {
  return Object.values(cases).some((each) => each.servers.includes(server));
}
