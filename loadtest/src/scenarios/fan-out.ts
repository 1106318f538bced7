/** One publisher, one topic, many subscribers. */
import { bytes, nodes, rate, seconds, subscribers } from './option.js';
import { run, scenario } from './scenario.js';

export const fanOut = scenario({
  about: 'One topic with many subscribers: what a delivery costs.',
  options: {
    subscribers: subscribers(1_000, 100_000),
    rate: rate(40, 0.1, 100_000),
    bytes: bytes(128, 1_000_000),
    seconds: seconds(5, 0.1),
    nodes: nodes(1),
  },
  short: { subscribers: '50', rate: '50', seconds: '0.5' },
  run: ({ subscribers, rate, bytes, seconds, nodes }) =>
    run(
      `${subscribers} subscribers, ${bytes} B`,
      { subscribers, perSecond: rate, publicationBytes: bytes, seconds },
      { nodes },
    ),
});
