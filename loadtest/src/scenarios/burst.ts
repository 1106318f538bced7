/** Publications that come together. */
import { bytes, count, nodes, rate, seconds, subscribers } from './option.js';
import { run, scenario } from './scenario.js';

export const burst = scenario({
  about: 'The same number of publications, one at a time or many together: what sending them together saves.',
  options: {
    burst: count('publications sent together', [1, 8, 32, 128], 1, 1_000),
    subscribers: subscribers(200, 10_000),
    rate: rate(640, 1, 100_000),
    bytes: bytes(128, 100_000),
    seconds: seconds(5, 0.1),
    nodes: nodes(1),
  },
  short: { burst: '1,32', subscribers: '20', seconds: '0.5' },
  run: ({ burst: together, subscribers, rate, bytes, seconds, nodes }) =>
    run(
      `${together} together`,
      { subscribers, perSecond: rate, burst: together, publicationBytes: bytes, seconds },
      { nodes },
    ),
});
