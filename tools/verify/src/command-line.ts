/** The command line of `npm run verify`. */
import { parseTarget } from '@fanfare/kit/broker-url';
import { levels } from '@fanfare/kit/level';
import {
  choice,
  choices,
  describeNames,
  describeOptions,
  HelpRequest,
  integer,
  number,
  parseOptions,
  text,
  toggle,
  UsageError,
  type ValuesOf,
} from '@fanfare/kit/options';
import { transports } from './checker/checker.js';
import { type Placement, placements } from './cluster/placement.js';
import type { ExistingClusterOptions } from './existing-cluster/existing-cluster.js';
import type { FaultRunOptions } from './fault-run/fault-run.js';
import type { Fault } from './faults/fault.js';
import { faults } from './faults/index.js';

export interface VerifyExistingRequest {
  readonly name: 'verifyExisting';
  readonly options: ExistingClusterOptions;
  readonly jsonFile: string | null;
}

export type VerifyRequest =
  | {
      readonly name: 'verify';
      readonly faults: readonly Fault[];
      readonly options: FaultRunOptions;
      readonly jsonFile: string | null;
      /** Gets a line for each fault. */
      readonly recordFile: string | null;
    }
  | VerifyExistingRequest;

/**
 * With --url the load is small, because others use the cluster too and one address may have a limited number of
 * connections.
 */
const defaults = {
  started: { rate: 2_000, topics: 200, subscribers: 300, seconds: 20 },
  existing: { rate: 200, topics: 40, subscribers: 40, seconds: 60 },
} as const;

/**
 * How long a publication may wait on topics that a fault must not affect, in milliseconds: as long as a node waits for
 * Redis before it answers `unavailable`.
 */
const maxWaitMs = 1_000;

function withDefaults(about: string, name: keyof typeof defaults.started): string {
  return `${about}; by default ${defaults.started[name]}, with --url ${defaults.existing[name]}`;
}

const verifyOptions = {
  fault: choices(
    'faults to inject, separated by commas, or all',
    faults.map(({ name }) => name),
    null,
  ),
  url: text(
    'a running cluster: URLs of its nodes or load balancer (ws:// or wss://), separated by commas',
    '<urls>',
    null,
  ),
  token: text(
    'with --url: a token or API key that may publish, subscribe and read history of verify.>',
    '<token>',
    null,
  ),
  rate: number(withDefaults('publications per second', 'rate'), null, 1, 50_000),
  topics: integer(withDefaults('topics', 'topics'), null, 1, 10_000),
  'publishers-per-topic': integer('publishers of each topic', 1, 1, 4),
  subscribers: integer(withDefaults('clients that subscribe, spread over the nodes', 'subscribers'), null, 1, 3_000),
  'topics-each': integer('topics of each subscriber', 1, 1, 100),
  transports: choices(
    'how clients connect: the typed client, also without WebSocket (fallback), plain event streams and long polls, and publishers over HTTP; by default all, with several --url all but fallback',
    transports,
    null,
  ),
  bytes: integer('padding in each publication', 100, 0, 16_000, 'bytes'),
  redis: choice(
    'with --fault: how Redis is set up: one server, one with replicas and a Sentinel, three shards, three shards with Sentinels, or a Redis Cluster; by default single',
    placements,
    null,
  ),
  nodes: integer('with --fault: nodes; by default 3', null, 2, 9),
  level: choice('level of the topics; with --url it must be the level in FANFARE_TOPICS', levels, 'recoverable'),
  seconds: number(withDefaults('length of the load; a fault may need longer', 'seconds'), null, 2, 3_600, 'seconds'),
  clients: integer('with a fault that adds clients: how many', null, 1, 10_000),
  json: text('write all numbers to a file', '<file>', null),
  append: text('with --fault: add a line of JSON for each fault to a file', '<file>', null),
  list: toggle('show all faults'),
};

const verifyHelp = `Checks the guarantees of docs/guarantees.md: publishes, injects a fault, and checks what every subscriber received.
With --fault it starts Redis and nodes on this machine. With --url it checks a running cluster: cause the fault yourself during the load.
Ctrl+C then ends the load early and shows the verdict.
The exit code is 0 if every verdict is good, 1 if one is bad, 2 if the command line is wrong.

usage: npm run verify -- --fault <names> [options]
       npm run verify -- --url <urls> [options]

${describeOptions(verifyOptions)}
`;

function faultList(): string {
  const lines = faults.map(({ name, about, resets, placements: own }): readonly [string, string] => {
    const loss = resets === 'allowed' ? ' Subscribers may be notified of lost publications.' : '';
    const places = own.length === placements.length ? '' : ` Only with --redis ${own.join(', ')}.`;
    return [name, `${about}${loss}${places}`];
  });
  return `Faults, for --fault; with every --redis (${placements.join(', ')}) unless it says otherwise:\n\n${describeNames(lines)}\n`;
}

export function parseVerifyCommandLine(args: readonly string[]): VerifyRequest {
  const { values } = parseOptions(args, verifyOptions, () => verifyHelp);
  if (values.list) throw new HelpRequest(faultList());
  if (values.url !== null) return parseExisting(values, values.url);
  if (values.token !== null) throw new UsageError('--token needs --url: nodes that this command starts need no token.');
  if (values.fault === null)
    throw new UsageError('Name a fault with --fault (--list shows them), or a running cluster with --url.');
  const redis = values.redis ?? 'single';
  const chosen = chooseFaults(values.fault, redis);
  if (values.clients !== null && !chosen.some(({ addsClients }) => addsClients === true)) {
    const adding = faults.flatMap(({ name, addsClients }) => (addsClients === true ? [name] : []));
    throw new UsageError(`--clients is for faults that add clients: ${adding.join(', ')}.`);
  }
  return {
    name: 'verify',
    faults: chosen,
    jsonFile: values.json,
    recordFile: values.append,
    options: {
      ...loadOf(values, defaults.started),
      redis,
      nodes: values.nodes ?? 3,
      clients: values.clients,
      maxWaitMs,
    },
  };
}

/** Of all faults, those that are possible. If only some are named, each must be possible. */
function chooseFaults(names: readonly string[], redis: Placement): readonly Fault[] {
  const named = names.flatMap((name) => faults.filter((fault) => fault.name === name));
  const possible = named.filter(({ placements: own }) => own.includes(redis));
  const impossible = named.find((fault) => !possible.includes(fault));
  if (impossible === undefined || named.length === faults.length) return possible;
  const { name, placements: own } = impossible;
  throw new UsageError(`--fault ${name} needs --redis ${own.join(' or ')}, not ${redis}.`);
}

type Values = ValuesOf<typeof verifyOptions>;

function parseExisting(values: Values, url: string): VerifyRequest {
  for (const name of ['fault', 'redis', 'nodes', 'clients', 'append'] as const) {
    if (values[name] !== null)
      throw new UsageError(`--${name} is for clusters that this command starts: omit it with --url.`);
  }
  const { token } = values;
  const [first = '', ...others] = url.split(',').map((each) => each.trim());
  const urls = [first, ...others] as const;
  for (const each of urls) parseTarget(each, token);
  if (new Set(urls).size < urls.length) throw new UsageError('--url has the same URL twice.');
  if (urls.length > 1 && values.transports?.includes('fallback')) {
    throw new UsageError('--transports fallback needs one --url: these clients do not take turns.');
  }
  return {
    name: 'verifyExisting',
    jsonFile: values.json,
    options: { ...loadOf(values, defaults.existing), urls, token },
  };
}

function loadOf(
  values: Values,
  preset: (typeof defaults)['started' | 'existing'],
): Omit<FaultRunOptions, 'redis' | 'nodes' | 'clients' | 'maxWaitMs'> {
  const topics = values.topics ?? preset.topics;
  const topicsPerSubscriber = values['topics-each'];
  if (topicsPerSubscriber > topics)
    throw new UsageError(`--topics-each must be at most ${topics} (--topics), not ${topicsPerSubscriber}.`);
  const hasTurns = values.url?.includes(',') ?? false;
  const chosen = values.transports ?? transports.filter((transport) => !hasTurns || transport !== 'fallback');
  if (chosen.every((transport) => transport === 'http')) {
    throw new UsageError('--transports needs one that subscribes: websocket, fallback, sse, long-poll.');
  }
  return {
    transports: chosen,
    rate: values.rate ?? preset.rate,
    topics,
    publishersPerTopic: values['publishers-per-topic'],
    subscribers: values.subscribers ?? preset.subscribers,
    topicsPerSubscriber,
    bytes: values.bytes,
    level: values.level,
    seconds: values.seconds ?? preset.seconds,
  };
}
