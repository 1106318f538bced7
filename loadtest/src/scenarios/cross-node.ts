/** Publications that enter at one node and leave at others. */
import { integer, number, within } from './option.js';
import { run, scenario } from './scenario.js';

export const crossNode = scenario({
  about:
    'Publications enter at the first node and leave at others: what each further node costs, and each that does not care.',
  options: {
    nodes: integer('nodes', 2, 2, 16),
    interested: within(integer('nodes with subscribers, the first one not counted', 1, 1, 15), 'nodes', 1),
    topics: integer('topics', 100, 1, 100_000),
    subscribers: integer('subscribing connections', 100, 1, 100_000),
    rate: number('publications a second', 5_000, 1, 200_000),
    burst: integer('publications sent together', 1, 1, 64),
    bytes: integer('size of a publication’s data', 128, 40, 1_000_000),
    seconds: number('length of the measured time', 5, 0.1, 86_400),
  },
  short: { nodes: '3', topics: '10', subscribers: '20', rate: '500', seconds: '0.5' },
  run: ({ nodes, interested, topics, subscribers, rate, burst, bytes, seconds }) => {
    const others = Array.from({ length: interested }, (_, index) => index + 1);
    return run(
      `${nodes} nodes, ${others.length} with subscribers`,
      {
        topics,
        subscribers,
        perSecond: rate,
        burst,
        publicationBytes: bytes,
        seconds,
        publisherServers: [0],
        subscriberServers: others,
      },
      { nodes },
    );
  },
});
