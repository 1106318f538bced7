/** Clients that were away. */
import { amount, count, nodes, rate, seconds, shareOf } from './option.js';
import { run, scenario } from './scenario.js';

export const absence = scenario({
  about: 'Typed clients reconnect and recover missed publications. Do they get all of them, and how late?',
  options: {
    subscribers: count('clients', 200, 1, 5_000),
    share: shareOf('subscribers', 'share of them that is away', 0.5),
    away: amount('how long they are away', 2, 0.1, 60, 'seconds'),
    topics: count('topics that they are spread over', 10, 1, 10_000),
    rate: rate(100, 0.1, 10_000),
    seconds: seconds(10, 0.5, 86_400, '; they leave after a fifth of it'),
    nodes: nodes(2),
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
