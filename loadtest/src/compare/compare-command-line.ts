/** The words of `npm run compare` and `npm run guard`. */
import type { ParseArgsConfig } from 'node:util';
import { readFlags, readInteger, readNames, readNumber, UsageError } from '../flags.js';
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
  --rounds <n>       how often each has its turn (default: 5; guard: ${guardedRounds})
  --seconds <n>      length of each measured time (default: the case's)
  --idle <n>         subscribers for the memory figure (default: 5000, at most 15000; 0: leave it out)
  --json <file>      write all results to a file
  --record           of guard: record what is measured as the baseline
  --help             show this

Those that are not installed are left out, aloud: loadtest/install-peers.sh brings them on Debian.
`;

const flags = {
  cases: { type: 'string', default: caseNames.join(',') },
  servers: { type: 'string' },
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  idle: { type: 'string', default: '5000' },
  json: { type: 'string' },
  record: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const satisfies ParseArgsConfig['options'];

export function parseCompare(args: readonly string[]): CompareRequest {
  const { positionals, values } = readFlags(args, flags);
  if (values.help) return { name: 'help' };
  const [first, ...rest] = positionals;
  const unexpected = first === 'guard' ? rest[0] : first;
  if (unexpected !== undefined) throw new UsageError(`"${unexpected}" stands where an option was expected.`);
  const rounds = readInteger('rounds', values.rounds ?? String(first === 'guard' ? guardedRounds : 5), 1, 1_000);
  if (first === 'guard') return { name: 'guard', rounds, isRecording: values.record };
  return {
    name: 'compare',
    jsonFile: values.json ?? null,
    options: {
      rounds,
      cases: values.cases === 'none' ? [] : readNames('cases', values.cases, caseNames),
      servers: values.servers === undefined ? null : readNames('servers', values.servers, Object.keys(servers)),
      seconds: values.seconds === undefined ? null : readNumber('seconds', values.seconds, 0.1, 3_600),
      idleSubscribers: readInteger('idle', values.idle, 0, 15_000),
    },
  };
}
