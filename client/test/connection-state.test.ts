/** How a client opens and keeps a connection, and reports its state. */
import { type Client, createClient } from '@fanfare/client';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { connect, failure, quick, record } from './harness.js';
import { startTestNode, until } from './test-node.js';

it('a client waits for connect() if autoConnect is false', async () => {
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

it.each([
  ['subscribe()', (client: Client) => client.subscribe('a').ready],
  ['publish()', (client: Client) => client.publish('a', 1)],
  ['send()', (client: Client) => client.send('a', 1)],
  ['history()', (client: Client) => client.history('a')],
  ['connect()', (client: Client) => client.connect()],
] as const)('a client connects at the first use: %s', async (_name, use) => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = createClient(node.url, quick);
  expect(client.state).toMatchObject({ name: 'disconnected', code: 'notConnected' });
  const states = record(client, 'state');
  const used = use(client);
  expect(client.state).toMatchObject({ name: 'connecting', code: 'connectCalled' });
  await used;
  await until(() => states.length === 2);
  expect(node.upgrades).toBe(1);
  await using unused = createClient(node.url, quick);
  await unused.close();
  expect(node.upgrades).toBe(1);
});

it('a client with a path as its URL can be created without a page, but not used', async () => {
  const client = createClient('/ws');
  const refused = { code: 'invalidOption', message: expect.stringContaining('there is no page') };
  expect(await failure(client.publish('a', 1))).toMatchObject(refused);
  expect(await failure(client.history('a'))).toMatchObject(refused);
  expect(await failure(client.connect())).toMatchObject(refused);
  expect(() => client.subscribe('a')).toThrow(expect.objectContaining(refused));
  await client.close();
});

it('a client retries until a node accepts the connection', async () => {
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

it('a client abandons an attempt if the node does not answer the handshake', async () => {
  await using node = await startTestNode();
  node.ignoreUpgrades = true;
  await using client = connect(node, { connectTimeoutMs: 30 });
  const states = record(client, 'state');
  await until(() => states.length > 0);
  expect(states[0]).toMatchObject({ name: 'connecting', code: 'connectTimeout' });
  node.ignoreUpgrades = false;
  await client.connect();
});

it('a client abandons an attempt if the node does not reply to connect', async () => {
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
] as const)('a client reconnects after close code %i', async (closeCode, code) => {
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
] as const)('a client stays disconnected after close code %i, until connect() is called', async (closeCode, code) => {
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

it('a client reconnects after a cut', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.connect();
  const states = record(client, 'state');
  (await node.connection()).cut();
  await until(() => states.at(-1)?.name === 'connected');
  expect(states[0]).toMatchObject({ name: 'connecting', code: 'connectionLost', closeCode: null });
});

it('a client stays disconnected if the node refuses the connect command for good', async () => {
  await using node = await startTestNode();
  node.on('connect', ({ id }, connection) => connection.error(id, 'malformed', 'No.'));
  await using client = connect(node);
  client.on('error', () => {});
  expect(await failure(client.connect())).toMatchObject({ code: 'disconnected', message: 'malformed: No.' });
  expect(client.state).toMatchObject({ name: 'disconnected', code: 'refused' });
});

it('a client retries if the node refuses the connect command for now', async () => {
  await using node = await startTestNode();
  let refusals = 0;
  node.on('connect', ({ id }, connection, proceed) =>
    refusals++ < 2 ? connection.error(id, 'unavailable') : proceed(),
  );
  await using client = connect(node);
  await client.connect();
  expect(node.connections).toHaveLength(3);
});

it('a client pings an idle connection, and keeps it while it receives messages', async () => {
  await using node = await startTestNode({ pingIntervalMs: 1_000 });
  await using client = connect(node, { pongTimeoutMs: 900 });
  await client.connect();
  await (await node.connection()).received('ping', 2);
  expect(node.connections).toHaveLength(1);
  expect(client.state.name).toBe('connected');
});

it.each([
  [0, 1_000],
  [Number.MAX_SAFE_INTEGER, 2_147_483_647],
])('a client treats a ping interval of %i ms as %i ms', async (pingIntervalMs, takenMs) => {
  await using node = await startTestNode({ pingIntervalMs });
  const clock = vi.spyOn(globalThis, 'setTimeout');
  onTestFinished(() => clock.mockRestore());
  await using client = connect(node);
  await client.connect();
  const delaysMs = clock.mock.calls.map(([, delayMs]) => delayMs ?? 0);
  expect(delaysMs).toContain(takenMs);
  expect(Math.max(...delaysMs)).toBeLessThanOrEqual(2_147_483_647);
});

it('a client drops a connection that does not answer pings', async () => {
  await using node = await startTestNode({ pingIntervalMs: 1_000 });
  node.on('ping', () => {});
  await using client = connect(node, { pongTimeoutMs: 30 });
  await client.connect();
  const states = record(client, 'state');
  await until(() => states.length > 0);
  expect(states[0]).toMatchObject({ name: 'connecting', code: 'heartbeatTimeout' });
  node.reset('ping');
  await client.connect();
});

it('a client drops a half-open connection whose peer does not read', async () => {
  await using node = await startTestNode({ pingIntervalMs: 1_000 });
  await using client = connect(node, { pongTimeoutMs: 30 });
  await client.connect();
  (await node.connection()).webSocket.pause();
  const states = record(client, 'state');
  await until(() => states.at(-1)?.name === 'connected');
  expect(states[0]).toMatchObject({ name: 'connecting', code: 'heartbeatTimeout' });
});

it('a client keeps counting failures until a connection lasts', async () => {
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

it('a client counts failures from 0 after a connection that lasted', async () => {
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

it('a client retries at once when the network is back, and pings an open connection', async () => {
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

describe('a client on a page', () => {
  const page = new EventTarget();
  beforeEach(() => {
    vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
    vi.stubGlobal('removeEventListener', page.removeEventListener.bind(page));
  });
  afterEach(() => vi.unstubAllGlobals());

  it('closes the connection when the page is hidden, and recovers when it is shown again', async () => {
    await using node = await startTestNode({ hasHistory: true });
    await using client = connect(node, { encoding: 'json' });
    const seen: unknown[] = [];
    const subscription = client.subscribe('a', ({ data }) => seen.push(data));
    await subscription.ready;
    const events = [record(subscription, 'gap'), record(subscription, 'reset')];
    node.publish('a', 1);
    await until(() => seen.length === 1);
    page.dispatchEvent(new Event('pagehide'));
    expect(client.state).toMatchObject({ name: 'connecting', code: 'pageHidden' });
    const connection = await node.connection();
    await until(() => connection.closed !== null);
    expect(connection.closed).toEqual({ code: 1_000, reason: 'pageHidden' });
    node.publish('a', 2, 3);
    // The client does not connect before the page is shown.
    page.dispatchEvent(new Event('online'));
    const published = client.publish('a', 4);
    expect(client.state).toMatchObject({ name: 'connecting', code: 'pageHidden' });
    expect(node.upgrades).toBe(1);
    page.dispatchEvent(new Event('pageshow'));
    await published;
    await until(() => seen.length === 4);
    expect(seen).toEqual([1, 2, 3, 4]);
    expect(events).toEqual([[], []]);
    expect(node.upgrades).toBe(2);
  });

  it('closes both connections if the page is hidden during a move', async () => {
    await using node = await startTestNode({ hasHistory: true });
    await using client = connect(node);
    await client.subscribe('a').ready;
    const first = await node.connection();
    node.on('subscribe', () => {});
    first.goaway();
    const second = await node.connection(1);
    await second.received('subscribe');
    page.dispatchEvent(new Event('pagehide'));
    await until(() => first.closed !== null && second.closed !== null);
    expect(client.state).toMatchObject({ name: 'connecting', code: 'pageHidden' });
    node.reset('subscribe');
    page.dispatchEvent(new Event('pageshow'));
    await client.publish('a', 1);
    expect(node.upgrades).toBe(3);
  });

  it('stays disconnected after close()', async () => {
    await using node = await startTestNode();
    const client = connect(node);
    await client.connect();
    page.dispatchEvent(new Event('pagehide'));
    await client.close();
    page.dispatchEvent(new Event('pageshow'));
    expect(client.state).toMatchObject({ name: 'disconnected', code: 'closedByClient' });
  });
});

describe('the debug log', () => {
  it('has sent and received messages and the states, but no data and no token; it can be switched at any time', async () => {
    const debug = vi.spyOn(console, 'debug').mockImplementation(() => {});
    const lines = (): string[] => debug.mock.calls.map((call) => JSON.stringify(call.slice(2)));
    try {
      await using node = await startTestNode();
      await using client = connect(node, { debug: true, getToken: () => 'the-token' });
      await client.subscribe('a', () => {}).ready;
      await client.publish('a', 'very private');
      expect(lines()).toEqual(
        expect.arrayContaining([
          expect.stringMatching(/^\["state",\{"name":"connected","node":"test"\}\]$/),
          expect.stringMatching(/^\[">","subscribe",\d+,"a"\]$/),
          expect.stringMatching(/^\["<","subscribed",\{"id":\d+,"topic":"a"/),
          expect.stringMatching(/^\[">","publish",\d+,"a"\]$/),
          expect.stringMatching(/^\["<","publications",\{"topic":"a","position":null\},1\]$/),
          expect.stringMatching(/^\["<","published",/),
        ]),
      );
      expect(JSON.stringify(debug.mock.calls)).not.toMatch(/very private|the-token/);
      client.debug = false;
      debug.mockClear();
      await client.publish('a', 1);
      expect(lines()).toEqual([]);
      vi.stubGlobal('FANFARE_DEBUG', true);
      expect(client.debug).toBe(true);
      await client.publish('a', 1);
      expect(lines()).not.toEqual([]);
    } finally {
      vi.unstubAllGlobals();
      debug.mockRestore();
    }
  });
});

it('createClient() rejects invalid options', () => {
  const wrong =
    (url: string, options = {}): unknown =>
    () =>
      createClient(url, { autoConnect: false, ...options });
  expect(wrong('nonsense')).toThrow(expect.objectContaining({ code: 'invalidOption' }));
  for (const [options, message] of [
    [{ getToken: 'secret' }, 'getToken must be of type function, not string.'],
    [{ webSocket: {} }, 'webSocket must be of type function, not object.'],
    [{ webSocket: null }, 'webSocket must be of type function, not null.'],
    [{ debug: 'yes' }, 'debug must be of type boolean, not string.'],
    [{ autoConnect: 0 }, 'autoConnect must be of type boolean, not number.'],
    [{ random: 0.5 }, 'random must be of type function, not number.'],
    [{ schemas: 'a' }, 'schemas must be of type object, not string.'],
    [{ schemas: { a: {} } }, 'The schema of "a" is invalid: use a schema of a Standard Schema library.'],
    [{ schemas: { a: null } }, 'The schema of "a" is invalid: use a schema of a Standard Schema library.'],
    [{ schemas: [1] }, 'The schema of "0" is invalid: use a schema of a Standard Schema library.'],
  ] as const) {
    expect(wrong('ws://localhost/ws', options)).toThrow(expect.objectContaining({ code: 'invalidOption', message }));
  }
  expect(wrong('ws://localhost/ws', { timeout: 5 })).toThrow(
    /^createClient\(\) has no option "timeout"\. Use one of connectTimeoutMs, timeoutMs, /,
  );
  expect(wrong('ws://localhost/ws', { encoding: 'xml' })).toThrow('This client speaks msgpack, not xml.');
  expect(wrong('ws://localhost/ws', { timeoutMs: Number.NaN })).toThrow(/timeoutMs must be/);
  expect(wrong('ws://localhost/ws', { maxQueuedBytes: -1 })).toThrow(/maxQueuedBytes must be/);
  expect(wrong('ws://localhost/ws', { connectTimeoutMs: Number.POSITIVE_INFINITY })).toThrow(
    /connectTimeoutMs must be/,
  );
});

it('a client reports a listener that throws, and continues', async () => {
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

it('a client writes errors to the console if there is no error listener', async () => {
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
