/** The node that app teams start in their tests. */
import { createClient } from '@fanfare/client';
import { expect, it } from 'vitest';
import { startTestNode } from '../src/testing.js';

it('a test node starts empty on a free port, next to others, and stops', async () => {
  await using first = await startTestNode();
  await using second = await startTestNode({ FANFARE_TOPICS: '{">":{"level":"fast"}}' });
  expect(first.url).not.toBe(second.url);
  await using client = createClient(first.url);
  expect(await client.publish('news', 1)).toMatchObject({ position: { offset: 1 } });
  await using other = createClient(second.url);
  expect(await other.publish('news', 1)).toEqual({ position: null });
  await Promise.all([client.close(), other.close()]);
  await first.stop();
  // A second stop is no error.
  await first.stop();
  await expect(fetch(first.url.replace('ws:', 'http:'))).rejects.toThrow();
});

it('another test node can have the port of one that was stopped, although clients were connected', async () => {
  const first = await startTestNode();
  await using client = createClient(first.url);
  await client.publish('news', 'before');
  await first.stop();
  await using second = await startTestNode({ FANFARE_PORT: new URL(first.url).port });
  expect(second.url).toBe(first.url);
  expect(await client.publish('news', 'after')).toMatchObject({ position: { offset: 1 } });
  await client.close();
});

it('a test node names an invalid setting', async () => {
  await expect(startTestNode({ FANFARE_PORT: 'x' })).rejects.toThrow('FANFARE_PORT');
});
