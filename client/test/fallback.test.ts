/** The client with a fallback: requests without a WebSocket. */
import { startTestNode } from '@fanfare/broker/testing';
import { createClient } from '@fanfare/client/fallback';
import { expect, it } from 'vitest';

it('publishes without a WebSocket', async () => {
  await using node = await startTestNode();
  for (const transports of [undefined, ['serverSentEvents'], ['longPolling']] as const) {
    await using client = createClient(node.url, { transports });
    expect(await client.publish('a', 1)).toMatchObject({ position: { offset: expect.any(Number) } });
    expect(client.transport).toBe(transports?.[0] ?? 'webSocket');
    client.send('a', 2);
    expect(await client.history('a')).toMatchObject({ publications: expect.any(Array) });
    await client.drain();
    expect(client.transport).toBeNull();
  }
});
