/** Publications of many sizes. */
import { integer, number } from './option.js';
import { run, scenario } from './scenario.js';

export const bigPayloads = scenario({
  about: 'Large publications: around 16 KiB, where uWebSockets changes its way, and far above.',
  options: {
    bytes: integer('size of a publication’s data', [16_383, 16_384, 65_536, 1_048_576], 40, 16_000_000),
    subscribers: integer('subscribing connections', 50, 1, 10_000),
    bandwidth: number('delivered megabytes a second, of all subscribers: the rate follows from it', 50, 0.1, 10_000),
    seconds: number('length of the measured time', 5, 0.1, 86_400),
    nodes: integer('nodes', 1, 1, 16),
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
