/** A topic for each subscriber. */
import { bytes, count, nodes, rate, seconds } from './option.js';
import { run, scenario } from './scenario.js';

export const pointToPoint = scenario({
  about: 'A topic for each subscriber (notifications, games, bookings): what a publication with one subscriber costs.',
  options: {
    subscribers: count('subscribing connections, each with its own topic', 1_000, 1, 100_000),
    publishers: count('publishing connections', 4, 1, 1_000),
    rate: rate(5_000, 1, 200_000),
    bytes: bytes(128, 1_000_000),
    seconds: seconds(5, 0.1),
    nodes: nodes(1),
  },
  short: { subscribers: '50', rate: '500', seconds: '0.5' },
  run: ({ subscribers, publishers, rate, bytes, seconds, nodes }) =>
    run(
      `${subscribers} topics with one subscriber each`,
      { topics: subscribers, subscribers, publishers, perSecond: rate, publicationBytes: bytes, seconds },
      { nodes },
    ),
});
