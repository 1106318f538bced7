import { closeReasons } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from './harness.js';
import type { TestConnection } from './test-connection.js';
import { until, within } from './wait.js';

const env = { FANFARE_MAX_BUFFERED_BYTES: '65536' };
const kilobyte = 'x'.repeat(1_000);

/** Publishes until the node has cut off a subscriber. */
async function floodUntilCut(cluster: TestCluster, writer: TestConnection): Promise<number> {
  let published = 0;
  await until('the node has cut off a subscriber', async () => {
    for (let frame = 0; frame < 20; frame++)
      writer.post('flood', ...Array.from({ length: 50 }, () => [published++, kilobyte]));
    await writer.settle();
    return (await cluster.node().metric('fanfare_slow_subscribers_total')) > 0;
  });
  return published;
}

describe('a subscriber that does not read', () => {
  it('gets a close code that makes it reconnect, behind the buffered data, if it reads in time', async () => {
    await using cluster = await startCluster({ env });
    const slow = await cluster.subscriber('flood');
    const writer = await cluster.connect();
    slow.socket.pause();
    await floodUntilCut(cluster, writer);
    slow.socket.resume();
    expect(await within('the connection is closed', slow.closed)).toEqual(closeReasons.slowSubscriber);
  });

  it('is cut off if it does not read, and uses no memory afterwards', async () => {
    await using cluster = await startCluster({ env });
    const slow = await cluster.subscriber('flood');
    const writer = await cluster.connect();
    slow.socket.pause();
    await floodUntilCut(cluster, writer);
    await until('only the publisher is left', async () => (await cluster.node().metric('fanfare_connections')) === 1);
    expect(await cluster.node().metric('fanfare_subscriptions')).toBe(0);
    slow.socket.resume();
    expect((await within('the connection is closed', slow.closed)).code).toBe(1006);
  });

  it('does not keep publications from the others, which get all in order', async () => {
    await using cluster = await startCluster({ env });
    const slow = await cluster.subscriber('flood');
    const good = await cluster.subscriber('flood', 0, 'json');
    const writer = await cluster.connect();
    slow.socket.pause();
    const published = await floodUntilCut(cluster, writer);
    const numbers = ((await good.take('flood', published)) as [number, string][]).map(([number]) => number);
    expect(numbers).toEqual(Array.from({ length: published }, (_, index) => index));
  });

  it('may subscribe again on a new connection', async () => {
    await using cluster = await startCluster({ env });
    const slow = await cluster.subscriber('flood');
    const writer = await cluster.connect();
    slow.socket.pause();
    await floodUntilCut(cluster, writer);
    slow.socket.resume();
    await within('the connection is closed', slow.closed);
    const back = await cluster.subscriber('flood');
    writer.post('flood', 'again');
    expect(await back.take('flood', 1)).toEqual(['again']);
  });

  it('gets the rest from the history when it reconnects, without a hole, and does not affect others', async () => {
    await using cluster = await startCluster({
      nodes: 2,
      env: { ...env, FANFARE_TOPICS: '{"flood":{"historySize":100000}}' },
    });
    const slow = await cluster.subscriber('flood');
    const good = await cluster.subscriber('flood');
    const writer = await cluster.connect(0);
    slow.socket.pause();
    const published = await floodUntilCut(cluster, writer);
    slow.socket.resume();
    await within('the connection is closed', slow.closed);
    const numbers: number[] = [];
    let since = { epoch: '', offset: 0 };
    for (const message of slow.inbox.waiting) {
      if (message.type !== 'publications' || message.position === null) continue;
      // After the first dropped frame, others may have been sent: the offset reveals that.
      if (since.epoch !== '' && message.position.offset !== since.offset + 1) break;
      since = { ...message.position, offset: message.position.offset + message.items.length - 1 };
      for (const item of message.items) if ('data' in item) numbers.push((item.data as [number])[0]);
    }
    const back = await cluster.connect(1);
    for (;;) {
      const request = { type: 'history', topic: 'flood', since, limit: 1_000, direction: null } as const;
      const page = await back.request(request);
      if (page.type !== 'history') throw new Error(JSON.stringify(page));
      expect(page.recovered).toBe(true);
      for (const item of page.publications) if ('data' in item) numbers.push((item.data as [number])[0]);
      since = { epoch: since.epoch, offset: since.offset + page.publications.length };
      if (since.offset === page.position.offset) break;
    }
    expect(numbers).toEqual(Array.from({ length: published }, (_, index) => index));
    expect((await good.take('flood', published)).length).toBe(published);
    expect(await cluster.node().metric('fanfare_slow_subscribers_total')).toBe(1);
  });
});
