/** The words of `npm run verify`. */
import { type Flags, readFlags, readInteger, readName, readNames, readNumber, UsageError } from '../flags.js';
import type { Fault } from './fault.js';
import { faults } from './faults/index.js';
import type { TrialOptions } from './trial.js';
import { levels } from './verdict.js';

export type VerifyRequest =
  | { readonly name: 'help' }
  | { readonly name: 'list' }
  | {
      readonly name: 'verify';
      readonly faults: readonly Fault[];
      readonly options: TrialOptions;
      readonly jsonFile: string | null;
    };

export const verifyHelp = `Checks the guarantees while something breaks: starts Redis and nodes, publishes, makes the fault, and judges what subscribers got.
The exit code is 0 if every verdict is good, 1 if one is bad, 2 if the command line is wrong.

usage: npm run verify -- --fault <names> [options]

  --fault <names>        what breaks, separated by commas, or all; --list says what there is
  --rate <n>             publications a second (default: 2000, at most 50000)
  --topics <n>           topics that they are spread over (default: 200, at most 10000)
  --lanes-per-topic <n>  publishers of each topic (default: 1, at most 4)
  --subscribers <n>      clients that subscribe, spread over the nodes (default: 300, at most 3000)
  --topics-each <n>      topics of each subscriber (default: 1, at most 100)
  --bytes <n>            filler in each publication (default: 100, at most 16000)
  --nodes <n>            nodes (default: 3, from 2 to 9)
  --level <name>         what the topics promise: ${levels.join(', ')} (default: recoverable)
  --seconds <n>          length of the load, for each fault (default: 20, from 2 to 3600); a fault may need longer
  --clients <n>          clients that a fault adds, where it adds any (at most 10000)
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
  rate: { type: 'string', default: '2000' },
  topics: { type: 'string', default: '200' },
  'lanes-per-topic': { type: 'string', default: '1' },
  subscribers: { type: 'string', default: '300' },
  'topics-each': { type: 'string', default: '1' },
  bytes: { type: 'string', default: '100' },
  nodes: { type: 'string', default: '3' },
  level: { type: 'string', default: 'recoverable', choices: levels },
  seconds: { type: 'string', default: '20' },
  clients: { type: 'string' },
  json: { type: 'string' },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const satisfies Flags;

export function parseVerifyCommandLine(args: readonly string[]): VerifyRequest {
  const { positionals, values } = readFlags(args, flags);
  if (values.help) return { name: 'help' };
  if (values.list) return { name: 'list' };
  if (positionals[0] !== undefined) throw new UsageError(`"${positionals[0]}" stands where an option was expected.`);
  if (values.fault === undefined) throw new UsageError('Say what breaks with --fault; --list says what there is.');
  const names = faults.map(({ name }) => name);
  const chosen = values.fault === 'all' ? names : readNames('--fault', values.fault, names);
  const topics = readInteger('--topics', values.topics, 1, 10_000);
  return {
    name: 'verify',
    faults: chosen.flatMap((name) => faults.filter((fault) => fault.name === name)),
    jsonFile: values.json ?? null,
    options: {
      rate: readNumber('--rate', values.rate, 1, 50_000),
      topics,
      lanesPerTopic: readInteger('--lanes-per-topic', values['lanes-per-topic'], 1, 4),
      subscribers: readInteger('--subscribers', values.subscribers, 1, 3_000),
      // A client can subscribe to a topic once.
      topicsPerSubscriber: readInteger('--topics-each', values['topics-each'], 1, Math.min(100, topics)),
      bytes: readInteger('--bytes', values.bytes, 0, 16_000),
      nodes: readInteger('--nodes', values.nodes, 2, 9),
      level: readName('--level', values.level, levels),
      seconds: readNumber('--seconds', values.seconds, 2, 3_600),
      clients: values.clients === undefined ? null : readInteger('--clients', values.clients, 1, 10_000),
    },
  };
}
