/** Subscribers that get nothing. */
import { amount, count, nodes, subscribers } from './option.js';
import { run, scenario } from './scenario.js';

export const idle = scenario({
  about: 'Subscribers that only wait: what a connection costs in memory and CPU.',
  options: {
    subscribers: subscribers(5_000, 1_000_000),
    topics: count('topics that they are spread over', 1, 1, 1_000_000),
    seconds: amount('how long they wait', 10, 0.1, 86_400, 'seconds'),
    nodes: nodes(1, 64),
  },
  short: { subscribers: '200', seconds: '0.5' },
  run: ({ subscribers, topics, seconds, nodes }) =>
    run(`${subscribers} idle subscribers`, { topics, subscribers, warmUpSeconds: 0, seconds }, { nodes }),
});
