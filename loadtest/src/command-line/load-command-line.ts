/** The command lines of scenarios, plans and reports. */
import { readFileSync } from 'node:fs';
import { parseTarget } from '@fanfare/kit/broker-url';
import {
  choice,
  choices,
  describeOptions,
  integer,
  number,
  parseOptions,
  text,
  toggle,
  UsageError,
  type ValuesOf,
} from '@fanfare/kit/options';
import { parse as parseYaml } from 'yaml';
import { transports } from '../protocols/protocols.js';
import { checkRun, type LoadSettings } from '../runs/load-command.js';
import type { ScenarioOptions } from '../scenarios/option.js';
import { type Run, runsOf, type Scenario } from '../scenarios/scenario.js';
import { scenarios } from '../scenarios/scenarios.js';
import { servers } from '../servers/servers.js';

export interface LoadRequest {
  readonly name: 'load';
  readonly runs: readonly Run[];
  readonly settings: LoadSettings;
  /** The limit of a search for the highest rate; null: no search, only the given runs. */
  readonly maxP99Ms: number | null;
  readonly jsonFile: string | null;
  readonly htmlFile: string | null;
}

/** Makes a page from files that `--json` wrote. */
export interface ReportRequest {
  readonly name: 'report';
  readonly files: readonly string[];
  readonly htmlFile: string;
}

/** Options of every scenario. */
export const commonOptions = {
  servers: choices('servers to start, separated by commas', Object.keys(servers), 'fanfare'),
  url: text('a broker that already runs, instead of servers: ws://… or wss://…', '<url>', null),
  token: text('with --url: the token or API key of the clients', '<token>', null),
  encoding: choice('with --url: the encoding of the clients', ['msgpack', 'json'], 'msgpack'),
  protocol: choice(
    'how clients reach Fanfare; all but websocket publish by POST: sse and long-poll subscribe over HTTP too, http-batch puts a burst into one request',
    transports,
    'websocket',
  ),
  client: toggle('use the typed client instead of bare sockets'),
  generators: integer('processes that make the load; without it, one for each 15,000 connections', null, 1, 100),
  rounds: integer('turns of each server', 1, 1, 1_000),
  garbage: toggle('measure the garbage collections of servers on Node, and what they allocate'),
  'find-max-rate': toggle(
    'search for the highest rate that holds, starting at --rate; a rate that does not hold is tried --rounds times',
  ),
  'max-p99-ms': number(
    'with --find-max-rate: a rate holds up to this latency of 99 % of deliveries',
    100,
    0.1,
    60_000,
    'ms',
  ),
  json: text(
    'write all results to a file (docs/reference/loadtest.md has the schema); - is standard output',
    '<file>',
    null,
  ),
  html: text('write a page with charts to a file', '<file>', null),
};

function helpOf(name: string): string {
  const { about, options } = scenarioNamed(name);
  return `${about}

usage: npm run loadtest -- ${name} [options]

options of the scenario; each takes several values, separated by commas, and every combination is run:
${describeOptions(options, false)}

options of all scenarios:
${describeOptions(commonOptions)}
`;
}

/** Parses the words after the name of a scenario, or after `plan`. */
export function parseLoad(name: string, args: readonly string[]): LoadRequest {
  const isPlan = name === 'plan';
  const table: ScenarioOptions = isPlan ? {} : scenarioNamed(name).options;
  // Each value may be a list, which is read with its relations later.
  const own = Object.fromEntries(
    Object.entries(table).map(([option, { about, range }]) => [option, { ...text(about, '<n>', null), range }]),
  );
  const help = (): string => (isPlan ? planHelp : helpOf(name));
  const parsed = parseOptions(args, { ...own, ...commonOptions }, help, isPlan ? 1 : 0);
  const { given, positionals, values } = parsed;
  const common = values as ValuesOf<typeof commonOptions>;
  const settings = readSettings(common, given);
  const texts = Object.entries(parsed.values as Readonly<Record<string, unknown>>).filter(
    (entry): entry is [string, string] => Object.hasOwn(table, entry[0]) && typeof entry[1] === 'string',
  );
  const runs = isPlan ? readPlan(positionals[0], settings) : readRuns(name, Object.fromEntries(texts), settings);
  return {
    name: 'load',
    runs,
    settings,
    maxP99Ms: readSearch(common, given, runs),
    jsonFile: common.json,
    htmlFile: common.html,
  };
}

type Common = ValuesOf<typeof commonOptions>;

function readSearch(values: Common, given: ReadonlySet<string>, runs: readonly Run[]): number | null {
  if (!values['find-max-rate']) {
    if (given.has('max-p99-ms')) throw new UsageError('--max-p99-ms needs --find-max-rate.');
    return null;
  }
  const silent = runs.find(({ workload }) => workload.perSecond === 0);
  if (silent !== undefined)
    throw new UsageError(`--find-max-rate does not work with ${silent.scenario}, which publishes nothing.`);
  return values['max-p99-ms'];
}

function readSettings(values: Common, given: ReadonlySet<string>): LoadSettings {
  const { servers: names, url, token, encoding, protocol, client, generators, rounds, garbage } = values;
  if (protocol !== 'websocket') {
    if (client) throw new UsageError('--client uses the WebSocket: omit --protocol.');
    if (given.has('encoding')) throw new UsageError('--encoding is for WebSockets: omit it with --protocol.');
  }
  if (url !== null) {
    parseTarget(url, token);
    for (const name of ['servers', 'garbage']) {
      if (given.has(name)) throw new UsageError(notWithUrl(`--${name}`));
    }
  } else if (token !== null)
    throw new UsageError('--token needs --url: servers that this command starts need no token.');
  else if (given.has('encoding'))
    throw new UsageError('--encoding needs --url. Without it, choose by --servers, for example fanfare-json.');
  return { servers: names, url, token, encoding, protocol, isTyped: client, generators, rounds, garbage };
}

function notWithUrl(name: string): string {
  return `${name} is for servers that this command starts: omit it with --url.`;
}

/** `mark` precedes the names of options in errors. */
function readRuns(
  name: string,
  given: Readonly<Record<string, string>>,
  settings: LoadSettings,
  mark = '--',
): readonly Run[] {
  const starts = ['nodes', 'interested'].find((option) => given[option] !== undefined);
  if (settings.url !== null && starts !== undefined) throw new UsageError(notWithUrl(mark + starts));
  const runs = runsOf(name, scenarioNamed(name), given, mark);
  for (const run of runs) checkRun(run, settings);
  return runs;
}

function scenarioNamed(name: string): Scenario {
  const found = Object.hasOwn(scenarios, name) ? scenarios[name] : undefined;
  if (found !== undefined) return found;
  throw new UsageError(`Unknown scenario "${name}". Valid: ${Object.keys(scenarios).join(', ')}.`);
}

/** The command in the texts of this workspace. */
export const ownName = 'npm run loadtest --';

/** The command as it was given, without its token, because people share results. */
export function describeCommand(args: readonly string[], name = ownName): string {
  const shown = args.map((arg, index) => {
    if (args[index - 1] === '--token') return '***';
    return arg.startsWith('--token=') ? '--token=***' : arg;
  });
  return `${name} ${shown.join(' ')}`;
}

const reportOptions = { html: commonOptions.html };

const reportHelp = `Makes a page with charts from result files.

usage: npm run loadtest -- report <result.json>… --html <file>

Several files become one page. A run that is in several files has a line for each, with the name of the file.

${describeOptions(reportOptions)}
`;

/** Parses the words after `report`. */
export function parseReport(args: readonly string[]): ReportRequest {
  const parsed = parseOptions(args, reportOptions, () => reportHelp, Number.POSITIVE_INFINITY);
  const { positionals: files, values } = parsed;
  const example = 'npm run loadtest -- report result.json --html report.html';
  if (files.length === 0) throw new UsageError(`Name the result files, for example: ${example}.`);
  if (values.html === null) throw new UsageError(`Name the page with --html, for example: ${example}.`);
  return { name: 'report', files, htmlFile: values.html };
}

const planHelp = `Runs the scenarios of a file, one after the other.

usage: npm run loadtest -- plan <file> [options]

The file, YAML or JSON, is a list. Each item names a scenario, and the options that differ from their defaults:

  - scenario: fan-out
    subscribers: [100, 1000]
    rate: 40
  - scenario: storm
    subscribers: 2000

options of the whole plan, which the file may not contain:
${describeOptions(commonOptions)}
`;

/** Throws a {@link UsageError} that names the file, the run and the mistake. */
function readPlan(file: string | undefined, settings: LoadSettings): readonly Run[] {
  if (file === undefined) throw new UsageError('Name the file of the plan: npm run loadtest -- plan <file>.');
  let plan: unknown;
  try {
    plan = parseYaml(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new UsageError(`Cannot read the plan ${file}: ${reasonOf(error as Error)}.`);
  }
  if (!Array.isArray(plan) || plan.length === 0) {
    throw new UsageError(
      `The plan ${file} must be a list of scenarios, such as "- scenario: fan-out". Options of the whole plan, such as --url, belong on the command line.`,
    );
  }
  return plan.flatMap((item: unknown, index) => {
    const name = isTable(item) ? item['scenario'] : undefined;
    try {
      if (!isTable(item) || typeof name !== 'string') {
        throw new UsageError('name the scenario, as in "scenario: fan-out".');
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

/** Without the name of the system call, and without the excerpt in the lines below. */
function reasonOf({ message }: Error): string {
  return (message.split('\n')[0] ?? '').replace(/^E[A-Z]+: (.*?), .*$/, '$1').replace(/[.:]$/, '');
}

/** The values of an item of a plan, as they would be on the command line. */
function textsOf(item: Readonly<Record<string, unknown>>, table: ScenarioOptions): Readonly<Record<string, string>> {
  const texts = Object.entries(item).map(([key, value]) => {
    const option = Object.hasOwn(table, key) ? table[key] : undefined;
    if (option === undefined && Object.hasOwn(commonOptions, key))
      throw new UsageError(`${key} is for the whole plan: give it on the command line, as --${key}.`);
    // readOptions refuses unknown options.
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    const isReadable = values.length > 0 && values.every((each) => ['number', 'string'].includes(typeof each));
    if (option === undefined || isReadable) return [key, values.join(',')];
    throw new UsageError(`${key} must be a number or a list of numbers, not ${JSON.stringify(value)}.`);
  });
  return Object.fromEntries(texts);
}
