/** Clients that were away. */
import { integer, number, shareOf } from './option.js';
import { run, scenario } from './scenario.js';

export const absence = scenario({
  about:
    'Clients lose their connection, come back, and get what they missed: whether all of it, and how late. With the typed client.',
  options: {
    subscribers: integer('clients', 200, 1, 5_000),
    share: shareOf('subscribers', 'of them that are away', 0.5),
    away: number('how long, in seconds', 2, 0.1, 60),
    topics: integer('topics that they are spread over', 10, 1, 10_000),
    rate: number('publications a second', 100, 0.1, 10_000),
    seconds: number('length of the measured time; they leave after a fifth of it', 10, 0.5, 86_400),
    nodes: integer('nodes', 2, 1, 16),
  },
  short: { subscribers: '20', away: '0.5', seconds: '1.5' },
  run: ({ subscribers, share, away, topics, rate, seconds, nodes }) =>
    run(
      `${Math.round(subscribers * share)} of ${subscribers} clients away for ${away} s`,
      {
        topics,
        subscribers,
        perSecond: rate,
        seconds,
        disturbances: [{ name: 'absence', atSeconds: seconds / 5, seconds: away, share }],
      },
      { nodes, needsClient: true },
    ),
});
