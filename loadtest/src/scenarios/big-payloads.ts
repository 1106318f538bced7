/** Publications of many sizes. */
import { amount, bytes, nodes, seconds, subscribers } from './option.js';
import { run, scenario } from './scenario.js';

export const bigPayloads = scenario({
  about: 'Large publications: around 16 KiB, where uWebSockets.js changes how it sends, and far above.',
  options: {
    bytes: bytes([16_383, 16_384, 65_536, 1_048_576], 16_000_000),
    subscribers: subscribers(50, 10_000),
    bandwidth: amount(
      'megabytes delivered per second, to all subscribers together; the rate follows from it',
      50,
      0.1,
      10_000,
    ),
    seconds: seconds(5, 0.1),
    nodes: nodes(1),
  },
  short: { bytes: '16383,70000', subscribers: '5', bandwidth: '5', seconds: '0.5' },
  run: ({ bytes, subscribers, bandwidth, seconds, nodes }) =>
    run(
      `${bytes} B`,
      {
        subscribers,
        perSecond: Math.max(1, (bandwidth * 1e6) / bytes / subscribers),
        publicationBytes: bytes,
        seconds,
      },
      { nodes },
    ),
});
