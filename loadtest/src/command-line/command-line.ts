/** The words of `npm run loadtest`: what can be asked for, and the sentence for what cannot. */
import { type Flags, readFlags, readInteger, readNames, readNumber, UsageError } from '@fanfare/kit/flags';
import { stampBytes } from '@fanfare/kit/stamp';
import {
  candidateNames,
  describeWorkload,
  type LevelsOptions,
  type Workload,
  workloadNames,
  workloads,
} from '../scenarios/levels.js';
import { scenarios } from '../scenarios/scenarios.js';
import {
  commonHelp,
  isLoadScenario,
  type LoadRequest,
  parseLoad,
  parseReport,
  type ReportRequest,
  scenarioHelp,
} from './load-command-line.js';

export { UsageError };

export type Request =
  | { readonly name: 'help'; readonly text: string }
  | LoadRequest
  | ReportRequest
  | { readonly name: 'levels'; readonly options: LevelsOptions; readonly jsonFile: string | null };

/** Room for the stamp and what encodings put around it. */
const minPublicationBytes = stampBytes + 6;

/** One frame holds them, whatever their size. */
const maxBurst = 64;

const commandNames = [...Object.keys(scenarios), 'plan', 'report', 'levels'].join(', ');

export const help = `Puts a load on a broker, and measures what it costs and whether anything is lost.

usage: npm run loadtest -- <scenario> [options]      --help behind it shows the options of the scenario
       npm run loadtest -- plan <file> [options]     several of them, from YAML or JSON
       npm run loadtest -- report <result.json>… --html <file>     a page with charts, from results that --json has written

scenarios:
${scenarioHelp}

with each of them:
${commonHelp}

A study in depth has options of its own: "levels", what a publication costs two nodes and Redis at each level, beside plain Redis.
And npm run compare sets Fanfare beside others, in turns.

levels:
  --levels <names>      which: ${candidateNames.join(',')} (default: all)
  --workloads <names>   which traffic (default: all):
${workloadNames.map((name) => `                          ${name}: ${describeWorkload(workloads[name])}`).join('\n')}
  --rate <n>            publications a second, instead of the workload's (at most 200000)
  --topics <n>          topics that they go to in turn, instead of the workload's (at most 10000)
  --burst <n>           publications written together, instead of the workload's (at most ${maxBurst})
  --bytes <n>           size of a publication's data (default: 128)
  --rounds <n>          how often each level has its turn (default: 5)
  --seconds <n>         length of each measured window (default: 3)
  --json <file>         write all samples to a file
  --help                show this
`;

const flags = {
  levels: { type: 'string', default: candidateNames.join(','), choices: candidateNames },
  workloads: { type: 'string', default: workloadNames.join(','), choices: workloadNames },
  rate: { type: 'string' },
  topics: { type: 'string' },
  burst: { type: 'string' },
  bytes: { type: 'string', default: '128' },
  rounds: { type: 'string', default: '5' },
  seconds: { type: 'string', default: '3' },
  json: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const satisfies Flags;

export function parseCommandLine(args: readonly string[]): Request {
  const [first, ...others] = args;
  if (isLoadScenario(first)) return parseLoad(first, others);
  if (first === 'report') return parseReport(others);
  const { positionals, values } = readFlags(args, flags);
  if (values.help) return { name: 'help', text: help };
  const [scenario, ...rest] = positionals;
  if (scenario === undefined) throw new UsageError(`Say what to measure: ${commandNames}.`);
  if (scenario !== 'levels') {
    throw new UsageError(`There is no scenario "${scenario}", only ${commandNames}; its name comes first.`);
  }
  if (rest[0] !== undefined) throw new UsageError(`"${rest[0]}" stands where an option was expected.`);
  return {
    name: 'levels',
    jsonFile: values.json ?? null,
    options: {
      candidates: readNames('--levels', values.levels, candidateNames),
      workloads: readWorkloads(values),
      publicationBytes: readInteger('--bytes', values.bytes, minPublicationBytes, 900),
      rounds: readInteger('--rounds', values.rounds, 1, 1_000),
      seconds: readNumber('--seconds', values.seconds, 0.01, 3_600),
    },
  };
}

interface WorkloadFlags {
  readonly workloads: string;
  readonly rate?: string;
  readonly topics?: string;
  readonly burst?: string;
}

function readWorkloads(given: WorkloadFlags): readonly Workload[] {
  const instead = {
    ...(given.rate === undefined ? {} : { perSecond: readNumber('--rate', given.rate, 1, 200_000) }),
    ...(given.topics === undefined ? {} : { topics: readInteger('--topics', given.topics, 1, 10_000) }),
    ...(given.burst === undefined ? {} : { burst: readInteger('--burst', given.burst, 1, maxBurst) }),
  };
  const chosen = readNames('--workloads', given.workloads, workloadNames).map((name) => {
    return { ...workloads[name], ...instead };
  });
  // Where all is said, the workloads are the same.
  return [...new Map(chosen.map((workload) => [describeWorkload(workload), workload])).values()];
}
