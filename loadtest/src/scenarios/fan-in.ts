/** Many publishers, one topic, one subscriber. */
import { amount, bytes, count, nodes, seconds } from './option.js';
import { run, scenario } from './scenario.js';

export const fanIn = scenario({
  about: 'Many publishers to one topic with one subscriber: how much a node can receive.',
  options: {
    publishers: count('publishing connections', 100, 1, 10_000),
    rate: amount('publications per second, of all publishers', 5_000, 1, 200_000),
    bytes: bytes(128, 1_000_000),
    seconds: seconds(5, 0.1),
    nodes: nodes(1),
  },
  short: { publishers: '20', rate: '500', seconds: '0.5' },
  run: ({ publishers, rate, bytes, seconds, nodes }) =>
    run(`${publishers} publishers`, { publishers, perSecond: rate, publicationBytes: bytes, seconds }, { nodes }),
});
