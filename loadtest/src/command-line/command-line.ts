/** The command line of `npm run loadtest`. */
import {
  choices,
  describeNames,
  describeOptions,
  didYouMean,
  HelpRequest,
  integer,
  number,
  parseOptions,
  text,
  UsageError,
} from '@fanfare/kit/options';
import { stampBytes } from '@fanfare/kit/stamp';
import { candidateNames, describeWorkload, type LevelsOptions, workloadNames, workloads } from '../scenarios/levels.js';
import { scenarios } from '../scenarios/scenarios.js';
import { commonOptions, type LoadRequest, parseLoad, parseReport, type ReportRequest } from './load-command-line.js';

export type Request =
  | LoadRequest
  | ReportRequest
  | { readonly name: 'levels'; readonly options: LevelsOptions; readonly jsonFile: string | null };

/** Room for the stamp and for what encodings put around it. */
const minPublicationBytes = stampBytes + 6;

/** One frame holds a burst, whatever the size of its publications. */
const maxBurst = 64;

const commandNames = [...Object.keys(scenarios), 'plan', 'report', 'levels'];

const levelsOptions = {
  levels: choices('levels to measure', candidateNames, 'all'),
  workloads: choices('traffic', workloadNames, 'all'),
  rate: number('publications per second, instead of the rate of the workload', null, 1, 200_000),
  topics: integer('topics that get them in turn, instead of the topics of the workload', null, 1, 10_000),
  burst: integer('publications sent together, instead of the number in the workload', null, 1, maxBurst),
  bytes: integer('size of the data of a publication', 128, minPublicationBytes, 900, 'bytes'),
  rounds: integer('turns of each level', 5, 1, 1_000),
  seconds: number('length of each measurement', 3, 0.01, 3_600, 'seconds'),
  json: text('write all samples to a file', '<file>', null),
};

function help(): string {
  return `Puts a load on a broker, and measures its cost and whether publications are lost.

usage: npm run loadtest -- <scenario> [options]
       npm run loadtest -- <scenario> --help                     show the options of the scenario
       npm run loadtest -- plan <file> [options]                 run the scenarios of a YAML or JSON file
       npm run loadtest -- report <result.json>… --html <file>   make a page with charts from files that --json wrote
       npm run loadtest -- levels [options]                      measure what each level of a topic costs nodes and Redis

scenarios:
${describeNames(Object.entries(scenarios).map(([name, { about }]) => [name, about]))}

options of all scenarios and of plan:
${describeOptions(commonOptions)}

Only a clone of the repository can start servers (--servers, --garbage, levels) and make pages (--html, report). There,
npm run compare compares Fanfare with other brokers.
`;
}

function levelsHelp(): string {
  return `Measures what a publication costs two nodes and Redis at each level, compared with plain Redis.

usage: npm run loadtest -- levels [options]

workloads:
${describeNames(workloadNames.map((name) => [name, describeWorkload(workloads[name])]))}

options:
${describeOptions(levelsOptions)}
`;
}

export function parseCommandLine(args: readonly string[]): Request {
  const [first, ...rest] = args;
  if (first === 'report') return parseReport(rest);
  if (first === 'levels') return parseLevels(rest);
  if (first === 'plan' || Object.hasOwn(scenarios, first ?? '')) return parseLoad(first ?? '', rest);
  if (first === '--help') throw new HelpRequest(help());
  if (first === undefined) throw new UsageError(`Name a scenario or a command: ${commandNames.join(', ')}.`);
  throw new UsageError(
    `Unknown scenario "${first}". ${didYouMean(first, commandNames) ?? `The first word must be one of ${commandNames.join(', ')}.`}`,
  );
}

function parseLevels(args: readonly string[]): Request {
  const parsed = parseOptions(args, levelsOptions, levelsHelp);
  const { levels: candidates, bytes: publicationBytes, rounds, seconds, json, ...given } = parsed.values;
  const chosen = given.workloads.map((name) => ({
    topics: given.topics ?? workloads[name].topics,
    burst: given.burst ?? workloads[name].burst,
    perSecond: given.rate ?? workloads[name].perSecond,
  }));
  // With all three options, the workloads are the same.
  const distinct = [...new Map(chosen.map((workload) => [describeWorkload(workload), workload])).values()];
  return {
    name: 'levels',
    jsonFile: json,
    options: { candidates, workloads: distinct, publicationBytes, rounds, seconds },
  };
}
