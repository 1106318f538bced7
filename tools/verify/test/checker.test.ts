/** The nodes of publishers and subscribers, by the order in which they connect. */
import { expect, it } from 'vitest';
import { publishersFor } from '../src/checker/checker.js';
import { parseVerifyCommandLine } from '../src/command-line.js';

it.each([2, 3, 4, 5, 6, 7, 8, 9])('most publications cross nodes if %d nodes take connections in turn', (nodes) => {
  const request = parseVerifyCommandLine(['--fault', 'none', '--nodes', String(nodes)]);
  if (request.name !== 'verify') throw new Error(JSON.stringify(request));
  const { topics, subscribers } = request.options;
  const publishers = publishersFor(nodes);
  // Publishers connect first. One stream for each topic, one topic for each subscriber.
  const crossing = Array.from({ length: subscribers }, (_, subscriber) => {
    const publisher = (subscriber % topics) % publishers;
    return publisher % nodes !== (publishers + subscriber) % nodes;
  });
  expect(crossing.filter(Boolean).length / subscribers).toBeGreaterThanOrEqual(0.49);
});
