/** Some subscribers stop reading. */
import { integer, number, shareOf } from './option.js';
import { run, scenario } from './scenario.js';

export const slow = scenario({
  about: 'Some subscribers stop reading: whether the others notice, and what the unread costs.',
  options: {
    subscribers: integer('subscribing connections', 200, 1, 50_000),
    share: shareOf('subscribers', 'of them that stop reading', 0.01),
    rate: number('publications a second', 200, 0.1, 10_000),
    bytes: integer('size of a publication’s data', 4_096, 40, 1_000_000),
    seconds: number('length of the measured time; they stop after a fifth of it', 10, 0.5, 86_400),
    nodes: integer('nodes', 1, 1, 16),
  },
  short: { subscribers: '20', share: '0.1', seconds: '1' },
  run: ({ subscribers, share, rate, bytes, seconds, nodes }) =>
    run(
      `${Math.round(subscribers * share)} of ${subscribers} stop reading`,
      {
        subscribers,
        perSecond: rate,
        publicationBytes: bytes,
        seconds,
        disturbances: [{ name: 'stall', atSeconds: seconds / 5, share }],
      },
      { nodes },
    ),
});
