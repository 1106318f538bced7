/** The command line of `npm run rollout`. */
import { describeOptions, integer, number, parseOptions, text, UsageError } from '@fanfare/kit/options';
import type { RolloutOptions } from './rollout.js';

export interface RolloutRequest {
  readonly overlay: string;
  readonly options: RolloutOptions;
  readonly jsonFile: string | null;
}

const rolloutOptions = {
  overlay: text('a folder of k8s/overlays', '<name>', 'production'),
  'time-scale': number('factor for all times of the Deployment', 1, 0.05, 1),
  rate: number('publications per second', 2_000, 1, 50_000),
  topics: integer('topics', 100, 1, 10_000),
  subscribers: integer('clients that subscribe', 300, 10, 3_000),
  'topics-each': integer('topics of each subscriber', 1, 1, 100),
  bytes: integer('padding in each publication', 100, 0, 16_000, 'bytes'),
  'max-connections': integer('connection limit of a pod, instead of the limit in the Deployment', null, 1, 10_000_000),
  json: text('write all numbers to a file', '<file>', null),
};

const rolloutHelp = `Simulates a rolling deploy under load: reads the Deployment of an overlay in k8s/, and runs its pods as processes on this machine,
as the kubelet would. It replaces all pods, adds two and removes them again, and checks what every subscriber received.
The exit code is 0 if the verdict is good, 1 if it is bad, 2 if the command line is wrong.

usage: npm run rollout -- [options]

${describeOptions(rolloutOptions)}
`;

export function parseRolloutCommandLine(args: readonly string[]): RolloutRequest {
  const { overlay, json, topics, ...values } = parseOptions(args, rolloutOptions, () => rolloutHelp).values;
  const topicsPerSubscriber = values['topics-each'];
  if (!/^[a-z0-9-]+$/.test(overlay))
    throw new UsageError(`--overlay must be the name of a folder in k8s/overlays, not "${overlay}".`);
  if (topicsPerSubscriber > topics)
    throw new UsageError(`--topics-each must be at most ${topics} (--topics), not ${topicsPerSubscriber}.`);
  return {
    overlay,
    jsonFile: json,
    options: {
      timeScale: values['time-scale'],
      rate: values.rate,
      topics,
      publishersPerTopic: 1,
      subscribers: values.subscribers,
      topicsPerSubscriber,
      bytes: values.bytes,
      level: 'recoverable',
      transports: ['websocket'],
      maxConnections: values['max-connections'],
    },
  };
}
