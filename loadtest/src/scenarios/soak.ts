/** For hours. */
import { amount, count, nodes, rate, seconds, subscribers } from './option.js';
import { run, scenario } from './scenario.js';

export const soak = scenario({
  about: 'A moderate load for a long time, with connections that come and go: whether memory or latency drift.',
  options: {
    seconds: seconds(3_600, 1, 604_800),
    subscribers: subscribers(1_000, 50_000),
    topics: count('topics', 200, 1, 100_000),
    rate: rate(1_000, 1, 100_000),
    churn: amount('connections replaced per second', 5, 0.1, 5_000),
    nodes: nodes(2),
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
