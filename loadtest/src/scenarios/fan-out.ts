/** One publisher, one topic, many subscribers. */
import { integer, number } from './option.js';
import { run, scenario } from './scenario.js';

export const fanOut = scenario({
  about: 'One topic with many subscribers: what a delivery costs.',
  options: {
    subscribers: integer('subscribing connections', 1_000, 1, 100_000),
    rate: number('publications a second', 40, 0.1, 100_000),
    bytes: integer('size of a publication’s data', 128, 40, 1_000_000),
    seconds: number('length of the measured time', 5, 0.1, 86_400),
    nodes: integer('nodes', 1, 1, 16),
  },
  short: { subscribers: '50', rate: '50', seconds: '0.5' },
  run: ({ subscribers, rate, bytes, seconds, nodes }) =>
    run(
      `${subscribers} subscribers, ${bytes} B`,
      { subscribers, perSecond: rate, publicationBytes: bytes, seconds },
      { nodes },
    ),
});
