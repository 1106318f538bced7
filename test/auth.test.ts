/** Tokens from the typed client to nodes that require them. */
import { createClient } from '@fanfare/client';
import { expect, it } from 'vitest';
import { startCluster, startNode } from '../broker/test/harness.js';
import { env, tokenOf } from './tokens.js';

it('a client connects with its token, renews it on the same connection, and misses nothing', async () => {
  await using cluster = await startCluster({ nodes: 2, env });
  const [first, second] = [cluster.node(0), cluster.node(1)];
  let tokens = 0;
  let openings = 0;
  await using reader = createClient(second.url, {
    getToken: () => {
      tokens++;
      return tokenOf('reader', { subscribe: ['>'] }, 3);
    },
  });
  reader.on('state', ({ name }) => {
    if (name === 'connected') openings++;
  });
  await using writer = createClient(first.url, {
    getToken: async () => tokenOf('writer', { publish: ['>'] }, 60),
  });
  const seen: unknown[] = [];
  await reader.subscribe('news', ({ data }) => seen.push(data)).ready;
  // One publication for each token. The first token has expired long before the third publication.
  for (let sent = 0; sent < 3; sent++) {
    await expect.poll(() => tokens).toBeGreaterThan(sent);
    await writer.publish('news', sent);
    await expect.poll(() => seen.length).toBe(sent + 1);
  }
  expect(openings).toBe(1);
  expect(seen).toEqual([0, 1, 2]);
});

it('a client gets an error for what its token does not permit, and stays disconnected if its token is invalid', async () => {
  await using node = await startNode(env);
  await using reader = createClient(node.url, { getToken: () => tokenOf('reader', { subscribe: ['news'] }, 60) });
  await reader.subscribe('news').ready;
  await expect(reader.publish('news', 1)).rejects.toMatchObject({ code: 'notPermitted' });
  await expect(reader.subscribe('orders').ready).rejects.toMatchObject({ code: 'notPermitted' });
  await using stranger = createClient(node.url, { getToken: () => 'let me in' });
  await expect(stranger.subscribe('news').ready).rejects.toMatchObject({
    message: expect.stringContaining('signed JWT'),
  });
  expect(stranger.state).toMatchObject({ name: 'disconnected', closeCode: 4502 });
});
