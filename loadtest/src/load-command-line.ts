/** The words of the scenarios in scenarios/: flags, plans, and the sentence for what is wrong in them. */
import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { readFlags, readInteger, readNames, readNumber, UsageError } from './flags.js';
import { type LoadSettings, parseTarget } from './load-command.js';
import type { OptionTable } from './scenarios/option.js';
import { type Run, runsOf } from './scenarios/scenario.js';
import { scenarios } from './scenarios/scenarios.js';
import { servers } from './servers/servers.js';

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

/** Those of every scenario. */
export const commonOptions = {
  servers: {
    type: 'string',
    default: 'fanfare',
    about: `what is started for it, separated by commas: ${Object.keys(servers).join(', ')}`,
  },
  url: { type: 'string', about: 'a broker that runs already, instead: ws://… or wss://…' },
  token: { type: 'string', about: 'to be let in there' },
  encoding: { type: 'string', about: 'msgpack (default) or json, for --url' },
  client: { type: 'boolean', default: false, about: 'use the typed client instead of bare sockets' },
  generators: { type: 'string', about: 'processes that make the load (default: one for each 15,000 connections)' },
  rounds: { type: 'string', default: '1', about: 'how often each server has its turn' },
  'find-max-rate': {
    type: 'boolean',
    default: false,
    about:
      'search for the highest rate that holds, from the given one on; what does not is tried again (--rounds: so often)',
  },
  'max-p99-ms': { type: 'string', about: 'with it: latency at which a rate no longer holds (default: 100)' },
  json: {
    type: 'string',
    about: 'write all results to a file (docs/loadtest.md has the schema); -: to standard output',
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
  .map(([name, flag]) => line(name, flag.about, 'default' in flag && flag.default !== false ? flag.default : null))
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
  const given = Object.fromEntries(
    Object.entries(values).filter(
      (entry): entry is [string, string] => entry[0] in table && typeof entry[1] === 'string',
    ),
  );
  const { url = null, token = null } = values;
  if (url !== null) parseTarget(url, token);
  const starts = ['nodes', 'interested'].find((flag) => given[flag] !== undefined);
  if (url !== null && starts !== undefined) {
    throw new UsageError(`--${starts} is about nodes that are started here: it cannot stand beside --url.`);
  }
  if (url === null && token !== null)
    throw new UsageError('--token goes with --url: what is started here asks for none.');
  if (url === null && values.encoding !== undefined) {
    throw new UsageError(
      '--encoding goes with --url; here it follows from --servers (fanfare or fanfare-json, for example).',
    );
  }
  if (token !== null && values.client) {
    throw new UsageError('--token cannot go with --client yet: the typed client has no token to send.');
  }
  const isSearch = values['find-max-rate'];
  const maxP99 = values['max-p99-ms'];
  if (!isSearch && maxP99 !== undefined) throw new UsageError('--max-p99-ms goes with --find-max-rate.');
  const runs = name === 'plan' ? readPlan(file) : runsOf(name, scenarioNamed(name), given);
  const silent = runs.find(({ workload }) => workload.perSecond === 0);
  if (isSearch && silent !== undefined) {
    throw new UsageError(`--find-max-rate cannot go with ${silent.scenario}: nothing is published there.`);
  }
  return {
    name: 'load',
    runs,
    settings: {
      servers: readNames('servers', values.servers, Object.keys(servers)),
      url,
      token,
      encoding: readEncoding(values.encoding ?? 'msgpack'),
      isTyped: values.client,
      generators: values.generators === undefined ? null : readInteger('generators', values.generators, 1, 100),
      rounds: readInteger('rounds', values.rounds, 1, 1_000),
    },
    maxP99Ms: isSearch ? readNumber('max-p99-ms', maxP99 ?? '100', 0.1, 60_000) : null,
    jsonFile: values.json ?? null,
    htmlFile: values.html ?? null,
  };
}

function readEncoding(text: string): 'msgpack' | 'json' {
  if (text === 'msgpack' || text === 'json') return text;
  throw new UsageError(`--encoding must be msgpack or json, not "${text}".`);
}

function scenarioNamed(name: string) {
  const found = scenarios[name];
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

options:
${commonHelp}
`;

/** Throws a {@link UsageError} that names the item and what is wrong with it. */
export function readPlan(file: string | undefined): readonly Run[] {
  if (file === undefined) throw new UsageError('Say which file holds the plan: npm run loadtest -- plan <file>.');
  let plan: unknown;
  try {
    plan = parseYaml(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new UsageError(`The plan ${file} cannot be read: ${(error as Error).message.split('\n')[0]}`);
  }
  if (!Array.isArray(plan) || plan.length === 0) throw new UsageError(`The plan ${file} must be a list of scenarios.`);
  return plan.flatMap((item: unknown, index) => {
    try {
      if (typeof item !== 'object' || item === null || !('scenario' in item)) {
        throw new UsageError('It must name its scenario: "scenario: fan-out".');
      }
      const { scenario: name, ...options } = item;
      const given = Object.entries(options).map(([flag, value]) => [
        flag,
        Array.isArray(value) ? value.join(',') : String(value),
      ]);
      return runsOf(String(name), scenarioNamed(String(name)), Object.fromEntries(given));
    } catch (error) {
      if (error instanceof UsageError) throw new UsageError(`Item ${index + 1} of ${file}: ${error.message}`);
      throw error;
    }
  });
}
