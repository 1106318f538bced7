/** All connections break at once. */
import { count, nodes, rate, seconds, shareOf, subscribers } from './option.js';
import { run, scenario } from './scenario.js';

export const storm = scenario({
  about:
    'Many connections break at once and reconnect as fast as permitted: how long until the last one is subscribed again.',
  options: {
    subscribers: subscribers(5_000, 100_000),
    share: shareOf('subscribers', 'share of them that breaks', 1),
    topics: count('topics that they are spread over', 100, 1, 100_000),
    rate: rate(100, 0.1, 10_000),
    seconds: seconds(10, 0.5, 86_400, '; they break after a fifth of it'),
    nodes: nodes(1),
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
