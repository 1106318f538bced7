/** The words of the scenarios in scenarios/: flags, plans, and the sentence for what is wrong in them. */
import { readFileSync } from 'node:fs';
import { parseTarget } from '@fanfare/kit/broker-url';
import { readFlags, readInteger, readName, readNames, readNumber, UsageError } from '@fanfare/kit/flags';
import { parse as parseYaml } from 'yaml';
import { checkRun, type LoadSettings } from '../runs/load-command.js';
import type { OptionTable } from '../scenarios/option.js';
import { type Run, runsOf } from '../scenarios/scenario.js';
import { scenarios } from '../scenarios/scenarios.js';
import { servers } from '../servers/servers.js';

export interface LoadRequest {
  readonly name: 'load';
  readonly runs: readonly Run[];
  readonly settings: LoadSettings;
  /** The bound of a search for the highest rate; null: the runs are made as they are. */
  readonly maxP99Ms: number | null;
  readonly jsonFile: string | null;
  readonly htmlFile: string | null;
}

/** A page is made again from files that `--json` has written. */
export interface ReportRequest {
  readonly name: 'report';
  readonly files: readonly string[];
  readonly htmlFile: string;
}

const encodings = ['msgpack', 'json'] as const;

/** Those of every scenario. */
export const commonOptions = {
  servers: {
    type: 'string',
    fallback: 'fanfare',
    choices: Object.keys(servers),
    about: `what is started for it, separated by commas: ${Object.keys(servers).join(', ')}`,
  },
  url: { type: 'string', about: 'a broker that runs already, instead: ws://… or wss://…' },
  token: { type: 'string', about: 'to be let in there' },
  encoding: { type: 'string', choices: encodings, about: 'msgpack (default) or json, for --url' },
  client: { type: 'boolean', default: false, about: 'use the typed client instead of bare sockets' },
  generators: { type: 'string', about: 'processes that make the load (default: one for each 15,000 connections)' },
  rounds: { type: 'string', fallback: '1', about: 'how often each server has its turn' },
  'find-max-rate': {
    type: 'boolean',
    default: false,
    about:
      'search for the highest rate that holds, from the given one on; what does not is tried again (--rounds: so often)',
  },
  'max-p99-ms': { type: 'string', about: 'with it: latency at which a rate no longer holds (default: 100)' },
  json: {
    type: 'string',
    about: 'write all results to a file (docs/reference/loadtest.md has the schema); -: to standard output',
  },
  html: { type: 'string', about: 'write a page with charts to a file' },
  help: { type: 'boolean', default: false, about: 'show this' },
} as const;

export function isLoadScenario(name: string | undefined): name is string {
  return name === 'plan' || (name !== undefined && Object.hasOwn(scenarios, name));
}

export const scenarioHelp: string = Object.entries(scenarios)
  .map(([name, { about }]) => `  ${name.padEnd(16)}${about}`)
  .join('\n');

export const commonHelp: string = Object.entries(commonOptions)
  .map(([name, flag]) => line(name, flag.about, 'fallback' in flag ? flag.fallback : null))
  .join('\n');

function line(name: string, about: string, fallback: string | null): string {
  return `  --${name.padEnd(14)}${about}${fallback === null ? '' : ` (default: ${fallback})`}`;
}

export function helpOf(name: string): string {
  const { about, options } = scenarioNamed(name);
  const own = Object.entries(options).map(([flag, option]) => line(flag, option.about, option.fallback));
  return `${about}

usage: npm run loadtest -- ${name} [options]

${own.join('\n')}

Each of them takes several values, separated by commas: one run for each, or for each combination.

as for all scenarios:
${commonHelp}
`;
}

/** What follows the name of a scenario, or `plan`. */
export function parseLoad(
  name: string,
  args: readonly string[],
): LoadRequest | { readonly name: 'help'; text: string } {
  const table: OptionTable = name === 'plan' ? {} : scenarioNamed(name).options;
  const own = Object.fromEntries(Object.keys(table).map((flag) => [flag, { type: 'string' as const }]));
  const { positionals, values } = readFlags(args, { ...own, ...commonOptions });
  if (values.help) return { name: 'help', text: name === 'plan' ? planHelp : helpOf(name) };
  const [file, ...rest] = positionals;
  const unexpected = name === 'plan' ? rest[0] : file;
  if (unexpected !== undefined) throw new UsageError(`"${unexpected}" stands where an option was expected.`);
  const settings = readSettings(values);
  const given = Object.fromEntries(
    Object.entries(values).filter(
      (entry): entry is [string, string] => entry[0] in table && typeof entry[1] === 'string',
    ),
  );
  const runs = name === 'plan' ? readPlan(file, settings) : readRuns(name, given, settings);
  return {
    name: 'load',
    runs,
    settings,
    maxP99Ms: readSearch(values['find-max-rate'], values['max-p99-ms'], runs),
    jsonFile: values.json ?? null,
    htmlFile: values.html ?? null,
  };
}

function readSearch(isSearch: boolean, maxP99Ms: string | undefined, runs: readonly Run[]): number | null {
  if (!isSearch && maxP99Ms !== undefined) throw new UsageError('--max-p99-ms goes with --find-max-rate.');
  if (!isSearch) return null;
  const silent = runs.find(({ workload }) => workload.perSecond === 0);
  if (silent !== undefined) {
    throw new UsageError(`--find-max-rate cannot go with ${silent.scenario}: nothing is published there.`);
  }
  return readNumber('--max-p99-ms', maxP99Ms ?? '100', 0.1, 60_000);
}

interface SettingFlags {
  readonly servers?: string;
  readonly url?: string;
  readonly token?: string;
  readonly encoding?: string;
  readonly client: boolean;
  readonly generators?: string;
  readonly rounds?: string;
}

function readSettings(given: SettingFlags): LoadSettings {
  const { url = null, token = null, encoding = 'msgpack', generators = null } = given;
  if (url !== null) {
    parseTarget(url, token);
    if (given.servers !== undefined) throw new UsageError(besideUrl('--servers'));
  } else if (token !== null) {
    throw new UsageError('--token goes with --url: what is started here asks for none.');
  } else if (given.encoding !== undefined) {
    throw new UsageError(
      '--encoding goes with --url; here it follows from --servers (fanfare or fanfare-json, for example).',
    );
  }
  return {
    servers: readNames('--servers', given.servers ?? commonOptions.servers.fallback, Object.keys(servers)),
    url,
    token,
    encoding: readName('--encoding', encoding, encodings),
    isTyped: given.client,
    generators: generators === null ? null : readInteger('--generators', generators, 1, 100),
    rounds: readInteger('--rounds', given.rounds ?? commonOptions.rounds.fallback, 1, 1_000),
  };
}

function besideUrl(name: string): string {
  return `${name} is about what is started here: it cannot stand beside --url.`;
}

/** `mark` is what stands before names where they were given. */
function readRuns(
  name: string,
  given: Readonly<Record<string, string>>,
  settings: LoadSettings,
  mark = '--',
): readonly Run[] {
  const starts = ['nodes', 'interested'].find((flag) => given[flag] !== undefined);
  if (settings.url !== null && starts !== undefined) throw new UsageError(besideUrl(mark + starts));
  const found = runsOf(name, scenarioNamed(name), given, mark);
  for (const run of found) checkRun(run, settings);
  return found;
}

function scenarioNamed(name: string) {
  const found = Object.hasOwn(scenarios, name) ? scenarios[name] : undefined;
  if (found === undefined) {
    throw new UsageError(`There is no scenario "${name}", only ${Object.keys(scenarios).join(', ')}.`);
  }
  return found;
}

/** The command as it was given, without its token: results are shown to others. */
export function describeCommand(args: readonly string[]): string {
  const shown = args.map((arg, index) => {
    if (args[index - 1] === '--token') return '***';
    return arg.startsWith('--token=') ? '--token=***' : arg;
  });
  return `npm run loadtest -- ${shown.join(' ')}`;
}

const reportHelp = `Makes a page with charts from result files.

usage: npm run loadtest -- report <result.json>… --html <file>

Several files are put together in one page. Where the same run stands in more than one, each has its own line, with the file's name.
`;

/** What follows `report`. */
export function parseReport(args: readonly string[]): ReportRequest | { readonly name: 'help'; text: string } {
  const { html, help } = commonOptions;
  const { positionals, values } = readFlags(args, { html, help });
  if (values.help) return { name: 'help', text: reportHelp };
  const example = 'npm run loadtest -- report result.json --html report.html';
  if (positionals.length === 0) throw new UsageError(`Say which result files: ${example}.`);
  if (values.html === undefined) throw new UsageError(`Say where the page goes: ${example}.`);
  return { name: 'report', files: positionals, htmlFile: values.html };
}

const planHelp = `Carries out several scenarios, one after the other.

usage: npm run loadtest -- plan <file> [options]

The file, YAML or JSON, is a list. Each item names a scenario, and its options where they are not the default:

  - scenario: fan-out
    subscribers: [100, 1000]
    rate: 40
  - scenario: storm
    subscribers: 2000

options, for the whole plan, not in the file:
${commonHelp}
`;

/** Throws a {@link UsageError} that names the file, the run and what is wrong with it. */
function readPlan(file: string | undefined, settings: LoadSettings): readonly Run[] {
  if (file === undefined) throw new UsageError('Say which file holds the plan: npm run loadtest -- plan <file>.');
  let plan: unknown;
  try {
    plan = parseYaml(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new UsageError(`The plan ${file} cannot be read: ${reasonOf(error as Error)}.`);
  }
  if (!Array.isArray(plan) || plan.length === 0) {
    throw new UsageError(
      `The plan ${file} must be a list, each item with its scenario, as in "- scenario: fan-out"; what is for all of them, such as --url, stands on the command line.`,
    );
  }
  return plan.flatMap((item: unknown, index) => {
    const name = isTable(item) ? item['scenario'] : undefined;
    try {
      if (!isTable(item) || typeof name !== 'string') {
        throw new UsageError('it must name its scenario, as in "scenario: fan-out".');
      }
      const { scenario: _, ...options } = item;
      return readRuns(name, textsOf(options, scenarioNamed(name).options), settings, '');
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      throw new UsageError(
        `Run ${index + 1} of ${file}${typeof name === 'string' ? ` (${name})` : ''}: ${error.message}`,
      );
    }
  });
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Without the name of the system call, and without what leads to the excerpt in the lines below. */
function reasonOf({ message }: Error): string {
  return (message.split('\n')[0] ?? '').replace(/^E[A-Z]+: (.*?), .*$/, '$1').replace(/[.:]$/, '');
}

/** The values of a plan's item as they would stand on the command line. */
function textsOf(item: Readonly<Record<string, unknown>>, table: OptionTable): Readonly<Record<string, string>> {
  const texts = Object.entries(item).map(([key, value]) => {
    const option = Object.hasOwn(table, key) ? table[key] : undefined;
    if (option === undefined && Object.hasOwn(commonOptions, key)) {
      throw new UsageError(`${key} is for the whole plan: give it on the command line, as --${key}.`);
    }
    // What is not known is refused where options are read.
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    const isReadable = values.length > 0 && values.every((each) => ['number', 'string'].includes(typeof each));
    if (option === undefined || isReadable) return [key, values.join(',')];
    throw new UsageError(`${key} must be a number, or a list of numbers, not ${JSON.stringify(value)}.`);
  });
  return Object.fromEntries(texts);
}
