/** The words of `npm run verify`. */

import { parseTarget } from '@fanfare/kit/broker-url';
import { type Flags, readFlags, readInteger, readName, readNames, readNumber, UsageError } from '@fanfare/kit/flags';
import { levels } from '@fanfare/kit/level';
import type { ExistingClusterOptions } from './existing-cluster.js';
import type { Fault } from './fault.js';
import { faults } from './faults/index.js';
import type { TrialOptions } from './trial.js';

export interface VerifyExistingRequest {
  readonly name: 'verifyExisting';
  readonly options: ExistingClusterOptions;
  readonly jsonFile: string | null;
}

export type VerifyRequest =
  | { readonly name: 'help' }
  | { readonly name: 'list' }
  | {
      readonly name: 'verify';
      readonly faults: readonly Fault[];
      readonly options: TrialOptions;
      readonly jsonFile: string | null;
    }
  | VerifyExistingRequest;

/** Modest numbers for a cluster that others use too: fewer connections than one address may have, also while all of them move at once. */
const defaults = {
  started: { rate: '2000', topics: '200', subscribers: '300', seconds: '20' },
  existing: { rate: '200', topics: '40', subscribers: '40', seconds: '60' },
} as const;

export const verifyHelp = `Checks the guarantees while something breaks: starts Redis and nodes, publishes, makes the fault, and judges what subscribers got.
With --url it checks a cluster that runs already, and makes no fault: make one by hand meanwhile. Ctrl+C ends the load early and judges.
The exit code is 0 if every verdict is good, 1 if one is bad, 2 if the command line is wrong.

usage: npm run verify -- --fault <names> [options]
       npm run verify -- --url <urls> [options]

  --fault <names>        what breaks, separated by commas, or all; --list says what there is
  --url <urls>           a cluster that runs already: URLs of its nodes or of its balancer (ws://… or wss://…), separated by commas
  --token <token>        with --url: an API key that may publish, subscribe and read history of verify.>, or the token of a user with enough rights
  --rate <n>             publications a second (default: 2000, with --url 200; at most 50000)
  --topics <n>           topics that they are spread over (default: 200, with --url 40; at most 10000)
  --lanes-per-topic <n>  publishers of each topic (default: 1, at most 4)
  --subscribers <n>      clients that subscribe, spread over the nodes (default: 300, with --url 40; at most 3000)
  --topics-each <n>      topics of each subscriber (default: 1, at most 100)
  --bytes <n>            filler in each publication (default: 100, at most 16000)
  --nodes <n>            with --fault: nodes (default: 3, from 2 to 9)
  --level <name>         what the topics promise: ${levels.join(', ')} (default: recoverable); with --url the cluster's FANFARE_TOPICS decides, and
                         this must be the same
  --seconds <n>          length of the load, for each fault (default: 20, with --url 60; from 2 to 3600); a fault may need longer
  --clients <n>          with a fault that adds clients: how many (at most 10000)
  --json <file>          write all numbers to a file
  --list                 show all faults
  --help                 show this
`;

export function verifyList(): string {
  const width = Math.max(...faults.map(({ name }) => name.length));
  const lines = faults.map(({ name, about, resets }) => {
    return `  ${name.padEnd(width)}  ${about}${resets === 'allowed' ? ' Subscribers may be told that publications are lost.' : ''}`;
  });
  return `Faults, for --fault:\n\n${lines.join('\n')}\n`;
}

const flags = {
  fault: { type: 'string', choices: [...faults.map(({ name }) => name), 'all'] },
  url: { type: 'string' },
  token: { type: 'string' },
  rate: { type: 'string' },
  topics: { type: 'string' },
  'lanes-per-topic': { type: 'string', default: '1' },
  subscribers: { type: 'string' },
  'topics-each': { type: 'string', default: '1' },
  bytes: { type: 'string', default: '100' },
  nodes: { type: 'string' },
  level: { type: 'string', default: 'recoverable', choices: levels },
  seconds: { type: 'string' },
  clients: { type: 'string' },
  json: { type: 'string' },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const satisfies Flags;

type Values = ReturnType<typeof readFlags<typeof flags>>['values'];

export function parseVerifyCommandLine(args: readonly string[]): VerifyRequest {
  const { positionals, values } = readFlags(args, flags);
  if (values.help) return { name: 'help' };
  if (positionals[0] !== undefined) throw new UsageError(`"${positionals[0]}" stands where an option was expected.`);
  if (values.list) {
    if (args.length > 1)
      throw new UsageError('--list shows the faults and does nothing else: leave the other options out.');
    return { name: 'list' };
  }
  if (values.url !== undefined) return parseExisting(values, values.url);
  if (values.token !== undefined) throw new UsageError('--token goes with --url: what is started here asks for none.');
  if (values.fault === undefined) {
    throw new UsageError(
      'Say what breaks with --fault, or name a cluster that runs already with --url; --list says which faults there are.',
    );
  }
  const names = faults.map(({ name }) => name);
  const chosen = values.fault === 'all' ? names : readNames('--fault', values.fault, names);
  const chosenFaults = chosen.flatMap((name) => faults.filter((fault) => fault.name === name));
  if (values.clients !== undefined && !chosenFaults.some(({ addsClients }) => addsClients === true)) {
    const adding = faults.flatMap(({ name, addsClients }) => (addsClients === true ? [name] : []));
    throw new UsageError(`--clients is for faults that add clients: ${adding.join(', ')}.`);
  }
  return {
    name: 'verify',
    faults: chosenFaults,
    jsonFile: values.json ?? null,
    options: {
      ...parseLoad(values, defaults.started),
      nodes: readInteger('--nodes', values.nodes ?? '3', 2, 9),
      clients: values.clients === undefined ? null : readInteger('--clients', values.clients, 1, 10_000),
    },
  };
}

function parseExisting(values: Values, url: string): VerifyRequest {
  if (values.fault !== undefined) {
    throw new UsageError(
      '--fault starts a cluster and breaks it; with --url make the fault by hand, and leave --fault out.',
    );
  }
  for (const name of ['nodes', 'clients'] as const) {
    if (values[name] !== undefined)
      throw new UsageError(`--${name} is about what is started here: it goes with --fault, not with --url.`);
  }
  const token = values.token ?? null;
  const [first, ...others] = url.split(',').map((each) => each.trim());
  if (first === undefined || first === '') throw new UsageError('--url needs a value, such as ws://127.0.0.1:8080/ws.');
  const urls = [first, ...others] as const;
  for (const each of urls) parseTarget(each, token);
  if (new Set(urls).size < urls.length) throw new UsageError('--url has the same URL twice.');
  return {
    name: 'verifyExisting',
    jsonFile: values.json ?? null,
    options: { ...parseLoad(values, defaults.existing), urls, token },
  };
}

function parseLoad(
  values: Values,
  preset: (typeof defaults)['started' | 'existing'],
): Omit<TrialOptions, 'nodes' | 'clients'> {
  const topics = readInteger('--topics', values.topics ?? preset.topics, 1, 10_000);
  return {
    rate: readNumber('--rate', values.rate ?? preset.rate, 1, 50_000),
    topics,
    lanesPerTopic: readInteger('--lanes-per-topic', values['lanes-per-topic'], 1, 4),
    subscribers: readInteger('--subscribers', values.subscribers ?? preset.subscribers, 1, 3_000),
    // A client can subscribe to a topic once.
    topicsPerSubscriber: readInteger('--topics-each', values['topics-each'], 1, Math.min(100, topics)),
    bytes: readInteger('--bytes', values.bytes, 0, 16_000),
    level: readName('--level', values.level, levels),
    seconds: readNumber('--seconds', values.seconds ?? preset.seconds, 2, 3_600),
  };
}
