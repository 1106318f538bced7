/** Many publishers, one topic, one subscriber. */
import { integer, number } from './option.js';
import { run, scenario } from './scenario.js';

export const fanIn = scenario({
  about: 'Many publishers to one topic with one subscriber: how much a node takes in.',
  options: {
    publishers: integer('publishing connections', 100, 1, 10_000),
    rate: number('publications a second, of all publishers', 5_000, 1, 200_000),
    bytes: integer('size of a publication’s data', 128, 40, 1_000_000),
    seconds: number('length of the measured time', 5, 0.1, 86_400),
    nodes: integer('nodes', 1, 1, 16),
  },
  short: { publishers: '20', rate: '500', seconds: '0.5' },
  run: ({ publishers, rate, bytes, seconds, nodes }) =>
    run(`${publishers} publishers`, { publishers, perSecond: rate, publicationBytes: bytes, seconds }, { nodes }),
});
