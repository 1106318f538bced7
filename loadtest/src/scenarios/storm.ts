/** All connections break at once. */
import { integer, number, shareOf } from './option.js';
import { run, scenario } from './scenario.js';

export const storm = scenario({
  about:
    'Connections break at once and come back as fast as they may: how long until the last one is subscribed again.',
  options: {
    subscribers: integer('subscribing connections', 5_000, 1, 100_000),
    share: shareOf('subscribers', 'of them that break', 1),
    topics: integer('topics that they are spread over', 100, 1, 100_000),
    rate: number('publications a second', 100, 0.1, 10_000),
    seconds: number('length of the measured time; they break after a fifth of it', 10, 0.5, 86_400),
    nodes: integer('nodes', 1, 1, 16),
  },
  short: { subscribers: '100', seconds: '1.5' },
  run: ({ subscribers, share, topics, rate, seconds, nodes }) =>
    run(
      `${Math.round(subscribers * share)} of ${subscribers} connections break`,
      {
        topics,
        subscribers,
        perSecond: rate,
        seconds,
        disturbances: [{ name: 'storm', atSeconds: seconds / 5, share }],
      },
      { nodes },
    ),
});
