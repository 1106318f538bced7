/** How a client gets and keeps a connection, and says so. */
import { createClient } from '@fanfare/client';
import { expect, it, vi } from 'vitest';
import { connect, failure, quick, record } from './harness.js';
import { startTestNode, until } from './test-node.js';

it('waits for connect() where it is told to', async () => {
  await using node = await startTestNode();
  await using client = connect(node, { autoConnect: false });
  expect(client.state).toMatchObject({ name: 'disconnected', code: 'notConnected' });
  const published = client.publish('a', 1);
  const subscription = client.subscribe('a');
  await client.connect();
  await Promise.all([published, subscription.ready]);
  expect(node.upgrades).toBe(1);
  await client.connect();
  expect(node.upgrades).toBe(1);
});

it('tries again until a node is there', async () => {
  await using node = await startTestNode();
  node.refuseWith = 503;
  await using client = connect(node);
  const states = record(client, 'state');
  await until(() => states.length >= 3);
  expect(states.slice(0, 3).map((state) => state.name === 'connecting' && [state.code, state.attempt])).toEqual([
    ['connectFailed', 1],
    ['connectFailed', 2],
    ['connectFailed', 3],
  ]);
  expect(states[0]).toMatchObject({ reason: expect.stringContaining('503'), closeCode: null });
  node.refuseWith = null;
  await client.connect();
  expect(client.state.name).toBe('connected');
});

it('gives up an attempt that a node leaves hanging: handshake', async () => {
  await using node = await startTestNode();
  node.ignoreUpgrades = true;
  await using client = connect(node, { connectTimeoutMs: 30 });
  const states = record(client, 'state');
  await until(() => states.length > 0);
  expect(states[0]).toMatchObject({ name: 'connecting', code: 'connectTimeout' });
  node.ignoreUpgrades = false;
  await client.connect();
});

it('gives up an attempt that a node leaves hanging: connect without reply', async () => {
  await using node = await startTestNode();
  node.on('connect', () => {});
  await using client = connect(node, { connectTimeoutMs: 30 });
  const states = record(client, 'state');
  await until(() => states.length > 0);
  expect(states[0]).toMatchObject({ name: 'connecting', code: 'connectTimeout' });
  node.reset('connect');
  await client.connect();
});

it.each([
  [4001, 'draining'],
  [4002, 'slowSubscriber'],
  [4321, 'closedByNode'],
  [1000, 'closedByNode'],
  [1012, 'closedByNode'],
] as const)('reconnects after close code %i', async (closeCode, code) => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.connect();
  const states = record(client, 'state');
  (await node.connection()).close(closeCode);
  await until(() => states.at(-1)?.name === 'connected');
  expect(states[0]).toMatchObject({ name: 'connecting', attempt: 1, code, closeCode, reason: 'why not' });
  expect(node.connections).toHaveLength(2);
});

it.each([
  [4500, 'badProtocol'],
  [4501, 'frameTooLarge'],
  [4777, 'closedByNode'],
] as const)('stays disconnected after close code %i, until connect() is called', async (closeCode, code) => {
  await using node = await startTestNode();
  await using client = connect(node);
  const errors = record(client, 'error');
  const loop = client.subscribe('a');
  const called = client.subscribe('b', () => {});
  await Promise.all([loop.ready, called.ready]);
  node.on('publish', () => {});
  const unanswered = failure(client.publish('a', 1));
  const connection = await node.connection();
  await connection.received('publish');
  connection.close(closeCode);
  const ended = { name: 'ConnectionError', code: 'disconnected', closeCode };
  expect(await unanswered).toMatchObject({ ...ended, maybeDelivered: true });
  expect(await failure(loop[Symbol.asyncIterator]().next())).toMatchObject(ended);
  expect(called.state).toMatchObject({ name: 'unsubscribed', code: 'disconnected', error: ended });
  expect(client.state).toMatchObject({ name: 'disconnected', code, closeCode, reason: 'why not' });
  expect(errors).toEqual([expect.objectContaining(ended)]);
  expect(await failure(client.publish('a', 1))).toMatchObject({ code: 'closed', maybeDelivered: false });
  expect(() => client.subscribe('a')).toThrow(expect.objectContaining({ code: 'closed' }));
  expect(node.upgrades).toBe(1);
  await client.connect();
  await client.subscribe('a').ready;
});

it('reconnects after a cut', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.connect();
  const states = record(client, 'state');
  (await node.connection()).cut();
  await until(() => states.at(-1)?.name === 'connected');
  expect(states[0]).toMatchObject({ name: 'connecting', code: 'connectionLost', closeCode: null });
});

it('stays disconnected where the node refuses the connect command for good', async () => {
  await using node = await startTestNode();
  node.on('connect', ({ id }, connection) => connection.error(id, 'malformed', 'No.'));
  await using client = connect(node);
  client.on('error', () => {});
  expect(await failure(client.connect())).toMatchObject({ code: 'disconnected', message: 'malformed: No.' });
  expect(client.state).toMatchObject({ name: 'disconnected', code: 'refused' });
});

it('tries again where the node refuses the connect command for now', async () => {
  await using node = await startTestNode();
  let refusals = 0;
  node.on('connect', ({ id }, connection, proceed) =>
    refusals++ < 2 ? connection.error(id, 'unavailable') : proceed(),
  );
  await using client = connect(node);
  await client.connect();
  expect(node.connections).toHaveLength(3);
});

it('pings after silence, and lives on while anything comes back', async () => {
  await using node = await startTestNode({ pingIntervalMs: 10 });
  await using client = connect(node, { pongTimeoutMs: 400 });
  await client.connect();
  await (await node.connection()).received('ping', 5);
  expect(node.connections).toHaveLength(1);
  expect(client.state.name).toBe('connected');
});

it('gives up a connection that has gone silent', async () => {
  await using node = await startTestNode({ pingIntervalMs: 10 });
  node.on('ping', () => {});
  await using client = connect(node, { pongTimeoutMs: 30 });
  await client.connect();
  const states = record(client, 'state');
  await until(() => states.length > 0);
  expect(states[0]).toMatchObject({ name: 'connecting', code: 'heartbeatTimeout' });
  node.reset('ping');
  await client.connect();
});

it('gives up a half-open connection, whose peer does not even read', async () => {
  await using node = await startTestNode({ pingIntervalMs: 10 });
  await using client = connect(node, { pongTimeoutMs: 30 });
  await client.connect();
  (await node.connection()).webSocket.pause();
  const states = record(client, 'state');
  await until(() => states.at(-1)?.name === 'connected');
  expect(states[0]).toMatchObject({ name: 'connecting', code: 'heartbeatTimeout' });
});

it('counts failures on, while no connection lasts', async () => {
  await using node = await startTestNode();
  node.on('connect', (_command, connection, proceed) => {
    proceed();
    if (node.connections.length < 4) connection.cut();
  });
  await using client = connect(node, { stableAfterMs: 60_000 });
  const attempts: number[] = [];
  client.on('state', (state) => {
    if (state.name === 'connecting') attempts.push(state.attempt);
  });
  await until(() => node.connections.length === 4 && client.state.name === 'connected');
  expect(attempts).toEqual([1, 2, 3]);
});

it('counts failures from 0 after a connection that lasted', async () => {
  await using node = await startTestNode();
  await using client = connect(node, { stableAfterMs: 0 });
  const attempts: number[] = [];
  client.on('state', (state) => {
    if (state.name === 'connecting') attempts.push(state.attempt);
  });
  for (let index = 0; index < 3; index++) {
    await client.connect();
    (await node.connection(index)).cut();
    await until(() => attempts.length === index + 1);
  }
  expect(attempts).toEqual([1, 1, 1]);
});

it('retries at once when the network comes back, and asks a connection for a sign of life', async () => {
  const network = new EventTarget();
  vi.stubGlobal('addEventListener', network.addEventListener.bind(network));
  vi.stubGlobal('removeEventListener', network.removeEventListener.bind(network));
  try {
    await using node = await startTestNode();
    node.refuseWith = 503;
    await using client = connect(node, {
      reconnectBaseDelayMs: 60_000,
      reconnectMaxDelayMs: 60_000,
      random: () => 0.99,
    });
    await until(() => client.state.name === 'connecting' && client.state.attempt === 1);
    node.refuseWith = null;
    network.dispatchEvent(new Event('online'));
    await client.connect();
    network.dispatchEvent(new Event('offline'));
    await (await node.connection()).received('ping', 1);
    await client.close();
    network.dispatchEvent(new Event('online'));
    expect(client.state.name).toBe('disconnected');
  } finally {
    vi.unstubAllGlobals();
  }
});

it('refuses what makes no sense', () => {
  const wrong =
    (url: string, options = {}): unknown =>
    () =>
      createClient(url, { autoConnect: false, ...options });
  expect(wrong('http://localhost/ws')).toThrow(expect.objectContaining({ code: 'invalidOption' }));
  expect(wrong('nonsense')).toThrow(TypeError);
  expect(wrong('ws://localhost/ws', { timeoutMs: Number.NaN })).toThrow(/timeoutMs must be/);
  expect(wrong('ws://localhost/ws', { maxQueuedBytes: -1 })).toThrow(/maxQueuedBytes must be/);
  expect(wrong('ws://localhost/ws', { connectTimeoutMs: Number.POSITIVE_INFINITY })).toThrow(
    /connectTimeoutMs must be/,
  );
});

it('survives listeners that throw, and tells of them', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const errors = record(client, 'error');
  client.on('state', () => {
    throw new Error('Oops.');
  });
  const states = record(client, 'state');
  await client.connect();
  expect(states).toHaveLength(1);
  expect(errors).toEqual([expect.objectContaining({ code: 'listenerFailed', cause: new Error('Oops.') })]);
});

it('writes errors that nobody listens to to the console', async () => {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
  try {
    await using node = await startTestNode();
    await using client = connect(node, quick);
    await client.subscribe('a', () => {
      throw new Error('Oops.');
    }).ready;
    await client.publish('a', 1);
    await until(() => warn.mock.calls.length === 1);
    expect(warn.mock.calls[0]?.[1]).toMatchObject({ code: 'listenerFailed' });
  } finally {
    warn.mockRestore();
  }
});
