/** Connections that are replaced all the time. */
import { integer, number } from './option.js';
import { run, scenario } from './scenario.js';

export const churn = scenario({
  about:
    'Connections come and go: how many handshakes with a subscription a node serves while it delivers, and whether it keeps anything of those that left.',
  options: {
    subscribers: integer('subscribing connections', 1_000, 1, 50_000),
    churn: integer('connections replaced a second', 200, 1, 5_000),
    rate: number('publications a second', 20, 0.1, 10_000),
    seconds: number('length of the measured time', 5, 0.1, 86_400),
    nodes: integer('nodes', 1, 1, 16),
  },
  short: { subscribers: '50', churn: '50', rate: '50', seconds: '1' },
  run: ({ subscribers, churn: connectionsPerSecond, rate, seconds, nodes }) =>
    run(
      `${connectionsPerSecond} connections replaced a second`,
      { subscribers, perSecond: rate, seconds, disturbances: [{ name: 'churn', connectionsPerSecond }] },
      { nodes },
    ),
});
