/** The words of `npm run rollout`. */
import { type Flags, readFlags, readInteger, readNumber, UsageError } from '@fanfare/kit/flags';
import type { RolloutOptions } from './rollout.js';

export type RolloutRequest =
  | { readonly name: 'help' }
  | {
      readonly name: 'rollout';
      readonly overlay: string;
      readonly options: RolloutOptions;
      readonly jsonFile: string | null;
    };

export const rolloutHelp = `Deploys, under load, as Kubernetes would: reads the Deployment of an overlay in k8s/ and plays kubelet over processes on this machine.
All pods are replaced, two are added and taken away again, and what subscribers got is judged. The exit code is 0 if the verdict is
good, 1 if it is bad, 2 if the command line is wrong.

usage: npm run rollout -- [options]

  --overlay <name>         a folder of k8s/overlays (default: production)
  --time-scale <n>         all times of the Deployment by this (default: 1; from 0.05 to 1)
  --rate <n>               publications a second (default: 2000, at most 50000)
  --topics <n>             topics that they are spread over (default: 100, at most 10000)
  --subscribers <n>        clients that subscribe (default: 300, from 10 to 3000)
  --topics-each <n>        topics of each subscriber (default: 1, at most 100)
  --bytes <n>              filler in each publication (default: 100, at most 16000)
  --max-connections <n>    most connections of a pod, in place of what the Deployment says
  --json <file>            write all numbers to a file
  --help                   show this
`;

const flags = {
  overlay: { type: 'string', default: 'production' },
  'time-scale': { type: 'string', default: '1' },
  rate: { type: 'string', default: '2000' },
  topics: { type: 'string', default: '100' },
  subscribers: { type: 'string', default: '300' },
  'topics-each': { type: 'string', default: '1' },
  bytes: { type: 'string', default: '100' },
  'max-connections': { type: 'string' },
  json: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const satisfies Flags;

export function parseRolloutCommandLine(args: readonly string[]): RolloutRequest {
  const { positionals, values } = readFlags(args, flags);
  if (values.help) return { name: 'help' };
  if (positionals[0] !== undefined) throw new UsageError(`"${positionals[0]}" stands where an option was expected.`);
  if (!/^[a-z0-9-]+$/.test(values.overlay))
    throw new UsageError(`--overlay takes the name of a folder, not "${values.overlay}".`);
  const topics = readInteger('--topics', values.topics, 1, 10_000);
  const most = values['max-connections'];
  return {
    name: 'rollout',
    overlay: values.overlay,
    jsonFile: values.json ?? null,
    options: {
      timeScale: readNumber('--time-scale', values['time-scale'], 0.05, 1),
      rate: readNumber('--rate', values.rate, 1, 50_000),
      topics,
      lanesPerTopic: 1,
      subscribers: readInteger('--subscribers', values.subscribers, 10, 3_000),
      topicsPerSubscriber: readInteger('--topics-each', values['topics-each'], 1, Math.min(100, topics)),
      bytes: readInteger('--bytes', values.bytes, 0, 16_000),
      maxConnections: most === undefined ? null : readInteger('--max-connections', most, 1, 10_000_000),
    },
  };
}
