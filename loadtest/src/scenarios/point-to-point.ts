/** A topic for each subscriber. */
import { integer, number } from './option.js';
import { run, scenario } from './scenario.js';

export const pointToPoint = scenario({
  about: 'A topic for each subscriber: notifications, games, bookings. What a publication costs when nobody shares it.',
  options: {
    subscribers: integer('subscribing connections, each with its own topic', 1_000, 1, 100_000),
    publishers: integer('publishing connections', 4, 1, 1_000),
    rate: number('publications a second', 5_000, 1, 200_000),
    bytes: integer('size of a publication’s data', 128, 40, 1_000_000),
    seconds: number('length of the measured time', 5, 0.1, 86_400),
    nodes: integer('nodes', 1, 1, 16),
  },
  short: { subscribers: '50', rate: '500', seconds: '0.5' },
  run: ({ subscribers, publishers, rate, bytes, seconds, nodes }) =>
    run(
      `${subscribers} topics with one subscriber each`,
      { topics: subscribers, subscribers, publishers, perSecond: rate, publicationBytes: bytes, seconds },
      { nodes },
    ),
});
