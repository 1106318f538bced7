/** Some subscribers stop reading. */
import { bytes, nodes, rate, seconds, shareOf, subscribers } from './option.js';
import { run, scenario } from './scenario.js';

export const slow = scenario({
  about: 'Some subscribers stop reading: whether the others notice, and what unread data costs.',
  options: {
    subscribers: subscribers(200, 50_000),
    share: shareOf('subscribers', 'share of them that stops reading', 0.01),
    rate: rate(200, 0.1, 10_000),
    bytes: bytes(4_096, 1_000_000),
    seconds: seconds(10, 0.5, 86_400, '; they stop after a fifth of it'),
    nodes: nodes(1),
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
