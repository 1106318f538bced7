/** Two ways to end: close() at once, drain() in order. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type Client, createClient } from '@fanfare/client';
import { expect, it, vi } from 'vitest';
import { connect, failure, quick, record, take } from './harness.js';
import { startTestNode, until } from './test-node.js';

const [setTimer, clearTimer] = [setTimeout, clearTimeout];

it('close() ends subscriptions, publishes and the connection at once', async () => {
  await using node = await startTestNode();
  const client = connect(node);
  const subscription = client.subscribe('a');
  await subscription.ready;
  const waiting = take(subscription, 1);
  node.on('publish', () => {});
  const unanswered = failure(client.publish('a', 1));
  const connection = await node.connection();
  await connection.received('publish');
  const queued = failure(client.publish('a', 2));
  const closed = client.close();
  expect(client.state).toMatchObject({ name: 'disconnected', code: 'closedByClient' });
  expect(await unanswered).toMatchObject({ name: 'ConnectionError', code: 'closed', maybeDelivered: true });
  expect(await queued).toMatchObject({ code: 'closed', maybeDelivered: false });
  expect(await waiting).toEqual([]);
  expect(subscription.state).toEqual({ name: 'unsubscribed', code: 'closed', error: null });
  await closed;
  await until(() => connection.closed !== null);
  expect(connection.closed).toEqual({ code: 1000, reason: 'closedByClient' });
  expect(await failure(client.publish('a', 1))).toMatchObject({ code: 'closed' });
  expect(() => client.send('a', 1)).toThrow(expect.objectContaining({ code: 'closed' }));
  expect(() => client.subscribe('a')).toThrow(expect.objectContaining({ code: 'closed' }));
  await client.close();
});

it('close() while connecting stops the attempts', async () => {
  await using node = await startTestNode();
  node.refuseWith = 503;
  const client = connect(node);
  const connected = failure(client.connect());
  await until(() => node.upgrades >= 2);
  await client.close();
  const { upgrades } = node;
  expect(await connected).toMatchObject({ code: 'closed', message: 'close() was called.' });
  node.refuseWith = null;
  expect(client.state.name).toBe('disconnected');
  expect(node.upgrades).toBe(upgrades);
});

it('close() does not wait for a peer that never answers', async () => {
  await using node = await startTestNode();
  const client = connect(node);
  await client.connect();
  (await node.connection()).webSocket.pause();
  await client.close();
  expect(client.state.name).toBe('disconnected');
});

it('close() of a client that never connected rejects waiting commands', async () => {
  await using node = await startTestNode();
  const client = connect(node, { autoConnect: false });
  const queued = failure(client.publish('a', 1));
  await client.close();
  expect(await queued).toMatchObject({ code: 'closed', maybeDelivered: false });
});

it.each(['state', 'error'] as const)(
  'close() in a %s listener ends the command that made the client connect',
  async (name) => {
    const url = 'ws://127.0.0.1:1/ws';
    const use: Array<(client: Client) => Promise<unknown>> = [
      (client) => client.publish('a', 1),
      (client) => client.history('a'),
      (client) => client.subscribe('a').ready,
    ];
    for (const act of use) {
      const client = createClient(url, quick);
      client.on('error', () => {});
      client.on(name, () => void client.close());
      expect(await failure(act(client))).toMatchObject({ code: 'closed' });
      expect(client.state).toMatchObject({ name: 'disconnected', code: 'closedByClient' });
    }
  },
);

it('a closed client can connect again', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.connect();
  await client.close();
  await client.connect();
  await client.publish('a', 1);
});

it('drain() waits for publishes and lets loops finish', async () => {
  await using node = await startTestNode();
  const client = connect(node);
  const subscription = client.subscribe('a');
  await subscription.ready;
  const connection = await node.connection();
  connection.push('a', [1, 2]);
  await client.publish('b', 1);
  node.on('unsubscribe', ({ topic }, _connection, proceed) => {
    connection.push(topic, [3]);
    proceed();
  });
  const late: Array<() => void> = [];
  node.on('publish', (_command, _connection, proceed) => late.push(proceed));
  const unanswered = client.publish('b', 2);
  client.send('b', 3);
  const drained = client.drain();
  expect(await failure(client.publish('b', 4))).toMatchObject({ code: 'draining' });
  expect(() => client.subscribe('b')).toThrow(expect.objectContaining({ code: 'draining' }));
  await until(() => late.length === 2);
  expect(client.state.name).toBe('connected');
  const read: unknown[] = [];
  const loop = (async () => {
    for await (const { data } of subscription) read.push(data);
  })();
  await loop;
  expect(read).toEqual([1, 2, 3]);
  expect(subscription.state).toMatchObject({ name: 'unsubscribed', code: 'draining', error: null });
  for (const proceed of late) proceed();
  await unanswered;
  await drained;
  expect(client.state).toMatchObject({ name: 'disconnected', code: 'drained' });
  expect(connection.commands.filter(({ type }) => type === 'unsubscribe')).toHaveLength(1);
});

it('drain() sends publications that wait for a connection', async () => {
  await using node = await startTestNode();
  node.refuseWith = 503;
  const client = connect(node);
  const published = client.publish('a', 1);
  client.send('a', 2);
  await until(() => node.upgrades > 0);
  const drained = client.drain();
  node.refuseWith = null;
  await published;
  await drained;
  expect(await (await node.connection()).received('publish')).toHaveLength(2);
});

it('drain() gives up after drainTimeoutMs', async () => {
  await using node = await startTestNode();
  const client = connect(node, { drainTimeoutMs: 30 });
  await client.subscribe('a').ready;
  node.on('publish', () => {});
  const unanswered = failure(client.publish('a', 1));
  expect(await failure(client.drain())).toMatchObject({ code: 'timeout' });
  expect(await unanswered).toMatchObject({ code: 'closed', maybeDelivered: true });
  expect(client.state).toMatchObject({ name: 'disconnected', code: 'drained' });
});

it('drain() survives a reconnect', async () => {
  await using node = await startTestNode();
  const client = connect(node);
  const subscription = client.subscribe('a');
  await subscription.ready;
  const states = record(client, 'state');
  node.on('unsubscribe', (_command, connection) => connection.cut());
  client.send('b', 1);
  await client.drain();
  expect(states.at(-1)).toMatchObject({ name: 'disconnected', code: 'drained' });
  expect(subscription.state.name).toBe('unsubscribed');
});

it('close() clears all timers, whatever the client is doing', async () => {
  await using node = await startTestNode({ hasHistory: true });
  const timers = new Set<unknown>();
  const spies = [
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((run: () => void, delayMs: number) => {
      const timer = setTimer(() => {
        timers.delete(timer);
        run();
      }, delayMs);
      timers.add(timer);
      return timer;
    }) as typeof setTimeout),
    vi.spyOn(globalThis, 'clearTimeout').mockImplementation((timer) => {
      timers.delete(timer);
      clearTimer(timer);
    }),
  ];
  try {
    const client = connect(node, { reconnectBaseDelayMs: 60_000, reconnectMaxDelayMs: 60_000, random: () => 0.99 });
    for (const topic of ['a', 'b']) await client.subscribe(topic, () => {}).ready;
    const first = await node.connection();
    node.on('publish', ({ id }, connection) => connection.error(id, 'unconfirmed'));
    node.on('history', ({ id, topic }, connection) => {
      if (topic === 'a') connection.error(id, 'unavailable');
    });
    node.on('ping', () => {});
    const published = ['a', 'c'].map((topic) => failure(client.publish(topic, 1)));
    const read = failure(client.history('b'));
    for (const topic of ['a', 'b']) first.push(topic, ['behind a hole'], { epoch: 'e1', offset: 7 });
    await first.received('history', 3);
    first.goaway();
    await first.received('ping');
    client.subscribe('d');
    first.goaway();
    await client.close();
    await Promise.all([...published, read]);
    expect(timers.size).toBe(0);
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
});

it('a process keeps running while its client is connected, and exits by itself after close()', async () => {
  await using node = await startTestNode();
  const script = `
    const { createClient } = await import('@fanfare/client');
    const client = createClient(${JSON.stringify(node.url)});
    const subscription = client.subscribe('a');
    await subscription.ready;
    await client.publish('a', 'alive');
    for await (const { data } of subscription) { console.log(data); break; }
    await client.close();
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: import.meta.dirname,
    timeout: 60_000,
  });
  expect(stdout).toBe('alive\n');
});
