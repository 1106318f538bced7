/** Connections that are replaced all the time. */
import { count, nodes, rate, seconds, subscribers } from './option.js';
import { run, scenario } from './scenario.js';

export const churn = scenario({
  about:
    'Connections come and go: how many handshakes a node serves while it delivers, and whether it frees the memory.',
  options: {
    subscribers: subscribers(1_000, 50_000),
    churn: count('connections replaced per second', 200, 1, 5_000),
    rate: rate(20, 0.1, 10_000),
    seconds: seconds(5, 0.1),
    nodes: nodes(1),
  },
  short: { subscribers: '50', churn: '50', rate: '50', seconds: '1' },
  run: ({ subscribers, churn: connectionsPerSecond, rate, seconds, nodes }) =>
    run(
      `${connectionsPerSecond} connections replaced a second`,
      { subscribers, perSecond: rate, seconds, disturbances: [{ name: 'churn', connectionsPerSecond }] },
      { nodes },
    ),
});
