/** The words of `npm run loadtest`: what can be asked for, and the sentence for what cannot. */
import type { ParseArgsConfig } from 'node:util';
import { driverNames } from './driver.js';
import type { FanoutOptions } from './fanout.js';
import { readFlags, readInteger, readNames, readNumber, UsageError } from './flags.js';
import {
  candidateNames,
  describeWorkload,
  type LevelsOptions,
  type Workload,
  workloadNames,
  workloads,
} from './levels.js';
import {
  commonHelp,
  isLoadScenario,
  type LoadRequest,
  parseLoad,
  parseReport,
  type ReportRequest,
  scenarioHelp,
} from './load-command-line.js';
import { shapeNames } from './shape.js';
import { stampBytes } from './stamp.js';

export { UsageError };

export type Request =
  | { readonly name: 'help'; readonly text: string }
  | LoadRequest
  | ReportRequest
  | { readonly name: 'fanout'; readonly options: FanoutOptions; readonly jsonFile: string | null }
  | { readonly name: 'levels'; readonly options: LevelsOptions; readonly jsonFile: string | null };

/** Room for the stamp and what encodings put around it. */
const minPublicationBytes = stampBytes + 6;

/** One frame holds them, whatever their size. */
const maxBurst = 64;

export const help = `Puts a load on a broker, and measures what it costs and whether anything is lost.

usage: npm run loadtest -- <scenario> [options]      --help behind it shows the options of the scenario
       npm run loadtest -- plan <file> [options]     several of them, from YAML or JSON
       npm run loadtest -- report <result.json>… --html <file>     a page with charts, from results that --json has written

scenarios:
${scenarioHelp}

with each of them:
${commonHelp}

Two studies in depth have options of their own; each takes everything in turns, so that a noisy machine disturbs all alike:
  fanout          what a delivery and an idle subscriber cost a server, beside uWebSockets with nothing on top
  levels          what a publication costs two nodes and Redis, at each level

fanout:
  --drivers <names>     which servers: ${driverNames.join(',')} (default: all)
  --shapes <names>      which traffic: ${shapeNames.join(',')} (default: all; none: only idle subscribers)
  --subscribers <n>     subscribers of the topic (default: 1000, at most 10000)
  --idle <n>            idle subscribers for the memory figure (default: 5000, at most 15000; 0: leave it out)

levels:
  --levels <names>      which: ${candidateNames.join(',')} (default: all)
  --workloads <names>   which traffic (default: all):
${workloadNames.map((name) => `                          ${name}: ${describeWorkload(workloads[name])}`).join('\n')}
  --rate <n>            publications a second, instead of the workload's (at most 200000)
  --topics <n>          topics that they go to in turn, instead of the workload's (at most 10000)
  --burst <n>           publications written together, instead of the workload's (at most ${maxBurst})

both:
  --bytes <n>           size of a publication's data (default: 128)
  --rounds <n>          how often each driver or level has its turn (default: 5)
  --seconds <n>         length of each measured window (default: 3)
  --json <file>         write all samples to a file
  --help                show this
`;

const flags = {
  drivers: { type: 'string', default: driverNames.join(',') },
  shapes: { type: 'string', default: shapeNames.join(',') },
  levels: { type: 'string', default: candidateNames.join(',') },
  workloads: { type: 'string', default: workloadNames.join(',') },
  rate: { type: 'string' },
  topics: { type: 'string' },
  burst: { type: 'string' },
  subscribers: { type: 'string', default: '1000' },
  idle: { type: 'string', default: '5000' },
  bytes: { type: 'string', default: '128' },
  rounds: { type: 'string', default: '5' },
  seconds: { type: 'string', default: '3' },
  json: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const satisfies ParseArgsConfig['options'];

export function parseCommandLine(args: readonly string[]): Request {
  const [first, ...others] = args;
  if (isLoadScenario(first)) return parseLoad(first, others);
  if (first === 'report') return parseReport(others);
  const { positionals, values } = readFlags(args, flags);
  if (values.help) return { name: 'help', text: help };
  const [scenario, ...rest] = positionals;
  if (scenario === undefined) throw new UsageError('Say what to measure: the name of a scenario.');
  if (scenario !== 'fanout' && scenario !== 'levels') {
    throw new UsageError(`There is no scenario "${scenario}". The name of the scenario comes first.`);
  }
  if (rest[0] !== undefined) throw new UsageError(`"${rest[0]}" stands where an option was expected.`);
  const both = {
    publicationBytes: readInteger('bytes', values.bytes, minPublicationBytes, 900),
    rounds: readInteger('rounds', values.rounds, 1, 1_000),
    seconds: readNumber('seconds', values.seconds, 0.01, 3_600),
  };
  const jsonFile = values.json ?? null;
  if (scenario === 'levels') {
    const candidates = readNames('levels', values.levels, candidateNames);
    return { name: 'levels', jsonFile, options: { ...both, candidates, workloads: readWorkloads(values) } };
  }
  return {
    name: 'fanout',
    jsonFile,
    options: {
      ...both,
      drivers: readNames('drivers', values.drivers, driverNames),
      shapes: values.shapes === 'none' ? [] : readNames('shapes', values.shapes, shapeNames),
      // One generator process holds all sockets, and may open 20,000 files on many machines.
      subscribers: readInteger('subscribers', values.subscribers, 1, 10_000),
      idleSubscribers: readInteger('idle', values.idle, 0, 15_000),
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
    ...(given.rate === undefined ? {} : { perSecond: readNumber('rate', given.rate, 1, 200_000) }),
    ...(given.topics === undefined ? {} : { topics: readInteger('topics', given.topics, 1, 10_000) }),
    ...(given.burst === undefined ? {} : { burst: readInteger('burst', given.burst, 1, maxBurst) }),
  };
  const chosen = readNames('workloads', given.workloads, workloadNames).map((name) => {
    return { ...workloads[name], ...instead };
  });
  // Where all is said, the workloads are the same.
  return [...new Map(chosen.map((workload) => [describeWorkload(workload), workload])).values()];
}
