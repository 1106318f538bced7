/** Publications that come together. */
import { integer, number } from './option.js';
import { run, scenario } from './scenario.js';

export const burst = scenario({
  about: 'The same number of publications, one at a time or many together: what putting them together saves.',
  options: {
    burst: integer('publications sent together', [1, 8, 32, 128], 1, 1_000),
    subscribers: integer('subscribing connections', 200, 1, 10_000),
    rate: number('publications a second', 640, 1, 100_000),
    bytes: integer('size of a publication’s data', 128, 40, 100_000),
    seconds: number('length of the measured time', 5, 0.1, 86_400),
    nodes: integer('nodes', 1, 1, 16),
  },
  short: { burst: '1,32', subscribers: '20', seconds: '0.5' },
  run: ({ burst: together, subscribers, rate, bytes, seconds, nodes }) =>
    run(
      `${together} together`,
      { subscribers, perSecond: rate, burst: together, publicationBytes: bytes, seconds },
      { nodes },
    ),
});
