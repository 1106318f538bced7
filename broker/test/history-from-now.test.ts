/** The first request of a loop of long polls asks where the topic is now. */
import { expect, it } from 'vitest';
import { startCluster } from './harness.js';

it('history from now on has no publications, and the position of the next request', async () => {
  await using cluster = await startCluster();
  const base = (cluster.nodes[0]?.url ?? '').replace(/^ws/, 'http').replace(/\/ws$/, '');
  const path = `${base}/v1/topics/orders/publications`;
  const headers = { 'Content-Type': 'application/json' };
  const published = await fetch(path, { method: 'POST', body: '1', headers });
  const { epoch, offset } = (await published.json()) as { readonly epoch: string; readonly offset: number };
  const answer = await fetch(`${path}?since=now`);
  const next = `${epoch}-${offset}`;
  expect(answer.headers.get('Fanfare-Position')).toBe(next);
  expect(await answer.json()).toEqual({ topic: 'orders', epoch, offset, recovered: true, publications: [], next });
});
