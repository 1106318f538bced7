/** For hours. */
import { integer, number } from './option.js';
import { run, scenario } from './scenario.js';

export const soak = scenario({
  about: 'A moderate load for long, with connections that come and go: whether memory or latency drift.',
  options: {
    seconds: number('length of the measured time', 3_600, 1, 604_800),
    subscribers: integer('subscribing connections', 1_000, 1, 50_000),
    topics: integer('topics', 200, 1, 100_000),
    rate: number('publications a second', 1_000, 1, 100_000),
    churn: number('connections replaced a second', 5, 0.1, 5_000),
    nodes: integer('nodes', 2, 1, 16),
  },
  short: { seconds: '1', subscribers: '20', topics: '10', rate: '200' },
  run: ({ seconds, subscribers, topics, rate, churn, nodes }) =>
    run(
      `${seconds} s`,
      {
        topics,
        subscribers,
        perSecond: rate,
        seconds,
        disturbances: [{ name: 'churn', connectionsPerSecond: churn }],
      },
      { nodes },
    ),
});
