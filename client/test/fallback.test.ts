/** The client without a WebSocket. */
import { startTestNode } from '@fanfare/broker/testing';
import { createClient } from '@fanfare/client/fallback';
import { expect, it } from 'vitest';

it.each(['serverSentEvents', 'longPolling'] as const)('works over %s', async (transport) => {
  await using node = await startTestNode();
  await using client = createClient(node.url, { transports: [transport] });
  const got: unknown[] = [];
  const sub = client.subscribe('a', ({ data }) => got.push(data));
  await sub.ready;
  await client.publish('a', 1);
  await client.publish('a', 2);
  await expect.poll(() => got).toEqual([1, 2]);
  const sub2 = client.subscribe('b', ({ data }) => got.push(data));
  await sub2.ready;
  await client.publish('b', 3);
  await client.publish('a', 4);
  await expect.poll(() => got).toEqual([1, 2, 3, 4]);
  await client.drain();
});
