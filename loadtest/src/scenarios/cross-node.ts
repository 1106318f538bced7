/** Publications that enter at one node and leave at others. */
import { bytes, count, rate, seconds, subscribers, within } from './option.js';
import { run, scenario } from './scenario.js';

export const crossNode = scenario({
  about:
    'Publications enter at the first node and leave at others: what an additional node costs, with and without subscribers.',
  options: {
    nodes: count('nodes', 2, 2, 16),
    interested: within(count('nodes with subscribers, without the first node', 1, 1, 15), 'nodes', 1),
    topics: count('topics', 100, 1, 100_000),
    subscribers: subscribers(100, 100_000),
    rate: rate(5_000, 1, 200_000),
    burst: count('publications sent together', 1, 1, 64),
    bytes: bytes(128, 1_000_000),
    seconds: seconds(5, 0.1),
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
