/** Subscribers that get nothing. */
import { integer, number } from './option.js';
import { run, scenario } from './scenario.js';

export const idle = scenario({
  about: 'Subscribers that wait: what a connection costs in memory and CPU when nothing happens.',
  options: {
    subscribers: integer('subscribing connections', 5_000, 1, 1_000_000),
    topics: integer('topics that they are spread over', 1, 1, 1_000_000),
    seconds: number('how long they wait', 10, 0.1, 86_400),
    nodes: integer('nodes', 1, 1, 64),
  },
  short: { subscribers: '200', seconds: '0.5' },
  run: ({ subscribers, topics, seconds, nodes }) =>
    run(`${subscribers} idle subscribers`, { topics, subscribers, warmUpSeconds: 0, seconds }, { nodes }),
});
