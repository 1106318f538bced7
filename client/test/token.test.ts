/** Authentication: a token for each connection, renewal in time, and clients whose token is refused. */
import { describe, expect, it, vi } from 'vitest';
import { Renewal } from '../src/token.js';
import { connect, failure, quick, record } from './harness.js';
import { startTestNode, type TestConnection, until } from './test-node.js';

/** Returns t1, t2, t3 … */
function tokens() {
  let count = 0;
  return () => `t${++count}`;
}

const shown = (connection: TestConnection | undefined): unknown[] =>
  (connection?.commands ?? []).flatMap((command) => ('token' in command ? [command.token] : []));

describe.each(['msgpack', 'json'] as const)('a client that speaks %s', (encoding) => {
  it('sends a new token on each connection', async () => {
    await using node = await startTestNode();
    const next = tokens();
    await using client = connect(node, { encoding, getToken: async () => next() });
    await client.connect();
    node.connections[0]?.cut();
    await node.connection(1);
    expect(node.connections.map(shown)).toEqual([['t1'], ['t2']]);
  });

  it('renews a token that expires soon, on the same connection', async () => {
    await using node = await startTestNode({ expiresInMs: 40 });
    await using client = connect(node, { encoding, getToken: tokens() });
    const states = record(client, 'state');
    await client.connect();
    const connection = await node.connection();
    await connection.received('refresh', 3);
    expect(shown(connection).slice(0, 4)).toEqual(['t1', 't2', 't3', 't4']);
    expect(node.connections).toHaveLength(1);
    expect(states).toEqual([{ name: 'connected', node: 'test' }]);
  });

  it('ends only the subscription that the node has ended', async () => {
    await using node = await startTestNode({ hasHistory: true });
    await using client = connect(node, { encoding });
    const [lost, kept] = [client.subscribe('lost'), client.subscribe('kept')];
    await Promise.all([lost.ready, kept.ready]);
    const connection = await node.connection();
    connection.unsubscribed(null, 'lost', 'notPermitted');
    const error = { name: 'ReplyError', code: 'notPermitted', message: 'Because.' };
    expect(await failure(lost[Symbol.asyncIterator]().next())).toMatchObject(error);
    expect(lost.state).toMatchObject({ name: 'unsubscribed', code: 'notPermitted', error });
    expect(kept.state.name).toBe('subscribed');
    connection.cut();
    const next = await node.connection(1);
    await until(() => kept.state.name === 'subscribed');
    expect((await next.received('subscribe')).map(({ topic }) => topic)).toEqual(['kept']);
    expect(connection.commands.some(({ type }) => type === 'unsubscribe')).toBe(false);
  });
});

describe('getToken(), which runs before the connection,', () => {
  it('must resolve before the client connects', async () => {
    await using node = await startTestNode();
    let give = (_token: string): void => {};
    await using client = connect(node, { getToken: () => new Promise((resolve) => (give = resolve)) });
    await until(() => client.state.name === 'connecting');
    expect(node.upgrades).toBe(0);
    give('late');
    await client.connect();
    expect(shown(node.connections[0])).toEqual(['late']);
  });

  it.each([
    ['throws an error', 'getToken() failed: The lock is stuck.', (): string => raise(new Error('The lock is stuck.'))],
    ['rejects', 'getToken() failed: Nobody there.', () => Promise.reject(new Error('Nobody there.'))],
    ['rejects with a text', 'getToken() failed: nope', () => Promise.reject('nope')],
    ['returns no string', 'getToken() must return a string, not undefined.', () => undefined as unknown as string],
  ])('is called again if it %s, and the state has the reason', async (_, reason, fail) => {
    await using node = await startTestNode();
    let calls = 0;
    await using client = connect(node, { getToken: () => (++calls < 3 ? fail() : 'good') });
    const states = record(client, 'state');
    await client.connect();
    const failed = (attempt: number): unknown => ({
      name: 'connecting',
      code: 'tokenFailed',
      attempt,
      reason,
      closeCode: null,
    });
    expect(states).toEqual([failed(1), failed(2), { name: 'connected', node: 'test' }]);
    expect(node.upgrades).toBe(1);
  });

  it('times out like a connection that hangs, and a late token is not used', async () => {
    await using node = await startTestNode();
    const given: Array<(token: string) => void> = [];
    await using client = connect(node, {
      connectTimeoutMs: 20,
      getToken: () => (given.length === 0 ? new Promise((resolve) => given.push(resolve)) : 'good'),
    });
    const states = record(client, 'state');
    await until(() => states.length > 0);
    expect(states[0]).toMatchObject({ code: 'connectTimeout', reason: 'getToken() did not answer within 20 ms.' });
    given[0]?.('late');
    await client.connect();
    expect(new Set(node.connections.flatMap(shown))).toEqual(new Set(['good']));
  });

  it('does not delay close()', async () => {
    await using node = await startTestNode();
    const client = connect(node, { getToken: () => new Promise<string>(() => {}) });
    await client.close();
    expect(client.state).toMatchObject({ name: 'disconnected', code: 'closedByClient' });
    expect(node.upgrades).toBe(0);
  });

  it('may close the client', async () => {
    await using node = await startTestNode();
    const client: ReturnType<typeof connect> = connect(node, {
      getToken: () => {
        void client.close();
        return 't';
      },
    });
    expect(await failure(client.connect())).toMatchObject({ code: 'closed', message: 'close() was called.' });
    expect(node.upgrades).toBe(0);
  });

  it('does not hide the error of a WebSocket that cannot be created', async () => {
    await using node = await startTestNode();
    class Refusing {
      constructor() {
        raise(new Error('Not on this page.'));
      }
    }
    await using client = connect(node, { getToken: () => 't', webSocket: Refusing as never });
    const states = record(client, 'state');
    await until(() => states.length > 0);
    expect(states[0]).toMatchObject({ code: 'connectFailed', reason: 'Not on this page.' });
  });

  it('may return a long token: the client sends at most 16384 bytes before the node replies, and the rest afterwards', async () => {
    await using node = await startTestNode({ maxFrameBytes: 65_536 });
    const answers: Array<() => void> = [];
    node.on('connect', (_command, _connection, proceed) => answers.push(proceed));
    await using client = connect(node, { getToken: () => 'x'.repeat(8_192), encoding: 'json' });
    const topics = Array.from({ length: 300 }, (_, index) => `${'long'.repeat(20)}.${index}`);
    const subscriptions = topics.map((topic) => client.subscribe(topic, () => {}));
    const bytes = () => node.connections[0]?.sizes.reduce((sum, size) => sum + size, 0) ?? 0;
    await until(() => answers.length === 1 && bytes() > 15_000);
    expect(bytes()).toBeLessThanOrEqual(16_384);
    answers[0]?.();
    await Promise.all(subscriptions.map(({ ready }) => ready));
    const asked = await (await node.connection()).received('subscribe', topics.length);
    expect(asked.map(({ topic }) => topic)).toEqual(topics);
  });
});

describe('a token that expires', () => {
  it('is renewed at a different time by each client', () => {
    const timers = vi.spyOn(globalThis, 'setTimeout').mockImplementation((() => 0) as never);
    try {
      const delayMs = (random: number, expiresInMs: number): number => {
        const settings = { ...quick, getToken: () => '', connectTimeoutMs: 1, random: () => random };
        new Renewal(
          settings,
          () => {},
          () => {},
        ).taken(expiresInMs);
        return Math.round((timers.mock.lastCall?.[1] ?? 0) / 1_000);
      };
      expect([0, 0.5, 0.99].map((random) => delayMs(random, 900_000))).toEqual([870, 855, 840]);
      expect([0, 0.5, 0.99].map((random) => delayMs(random, 50_000))).toEqual([40, 35, 30]);
    } finally {
      timers.mockRestore();
    }
  });

  it('and cannot be renewed puts the error into the state, and the client retries', async () => {
    await using node = await startTestNode({ expiresInMs: 20 });
    let calls = 0;
    const cause = new Error('Nobody there.');
    await using client = connect(node, {
      getToken: () => (++calls === 2 || calls === 3 ? Promise.reject(cause) : `t${calls}`),
    });
    const errors = record(client, 'error');
    const states = record(client, 'state');
    await client.connect();
    await (await node.connection()).received('refresh');
    const tokenError = expect.objectContaining({
      code: 'tokenFailed',
      message: 'getToken() failed: Nobody there.',
      cause,
    });
    const connected = { name: 'connected', node: 'test' };
    await until(() => states.length === 4);
    expect(states).toEqual([connected, { ...connected, tokenError }, { ...connected, tokenError }, connected]);
    expect(errors).toEqual([]);
    expect(node.connections).toHaveLength(1);
  });

  it('is renewed at the next try if getToken() hangs', async () => {
    await using node = await startTestNode({ expiresInMs: 20 });
    let calls = 0;
    await using client = connect(node, {
      connectTimeoutMs: 500,
      getToken: () => (++calls === 2 ? new Promise<string>(() => {}) : `t${calls}`),
    });
    await client.connect();
    const connection = await node.connection();
    await connection.received('refresh');
    expect(shown(connection).slice(0, 2)).toEqual(['t1', 't3']);
  });

  it('is renewed again if the node refuses the new one', async () => {
    await using node = await startTestNode({ expiresInMs: 20 });
    node.on('refresh', ({ id, token }, connection, proceed) =>
      token === 't2' ? connection.error(id, 'invalidToken', 'Another subject.') : proceed(),
    );
    await using client = connect(node, { getToken: tokens() });
    const states = record(client, 'state');
    await client.connect();
    await until(() => states.length === 3);
    expect(states[1]).toMatchObject({ tokenError: { name: 'ReplyError', code: 'invalidToken' } });
    expect(states[2]).toEqual({ name: 'connected', node: 'test' });
    expect(node.connections).toHaveLength(1);
  });

  it('makes the client reconnect with a new token if the node closes the connection', async () => {
    await using node = await startTestNode({ hasHistory: true });
    await using client = connect(node, { getToken: tokens() });
    const states = record(client, 'state');
    const subscription = client.subscribe('a', () => {});
    await subscription.ready;
    (await node.connection()).close('tokenExpired');
    await until(() => subscription.state.name === 'subscribed' && node.connections.length === 2);
    expect(states[1]).toMatchObject({ name: 'connecting', code: 'tokenExpired', closeCode: 4003 });
    expect(node.connections.map(shown)).toEqual([['t1'], ['t2']]);
  });

  it('makes the client reconnect with a new token if the node refuses connect', async () => {
    await using node = await startTestNode();
    node.on('connect', ({ id, token }, connection, proceed) => {
      if (token === 't2') return proceed();
      connection.error(id, 'tokenExpired', 'Too late.');
      connection.close('tokenExpired');
    });
    await using client = connect(node, { getToken: tokens() });
    const states = record(client, 'state');
    await client.connect();
    expect(states[0]).toMatchObject({ code: 'tokenExpired', closeCode: 4003, reason: 'tokenExpired: Too late.' });
  });

  it('is not renewed after close()', async () => {
    await using node = await startTestNode({ expiresInMs: 10 });
    let calls = 0;
    const waiting: Array<(token: string) => void> = [];
    const client = connect(node, {
      getToken: () => (++calls === 1 ? 't' : new Promise((resolve) => waiting.push(resolve))),
    });
    await until(() => waiting.length === 1);
    await client.close();
    waiting[0]?.('late');
    await until(() => node.connections[0]?.closed !== null);
    expect(calls).toBe(2);
    expect(shown(node.connections[0])).toEqual(['t']);
  });
});

describe('a client that is refused or closed by the node', () => {
  it.each(['invalidToken', 'unauthenticated', 'notPermitted'] as const)(
    'ends with the error of the node: %s',
    async (code) => {
      await using node = await startTestNode();
      node.on('connect', ({ id }, connection) => {
        connection.error(id, code, 'Not you.');
        connection.close('unauthenticated');
      });
      await using client = connect(node, { getToken: () => 'secret-token' });
      const errors = record(client, 'error');
      const states = record(client, 'state');
      const subscription = client.subscribe('a', () => {});
      const error = { name: 'ConnectionError', code: 'disconnected', closeCode: 4502, message: `${code}: Not you.` };
      expect(await failure(client.connect())).toMatchObject(error);
      expect(await failure(subscription.ready)).toMatchObject(error);
      expect(errors).toMatchObject([error]);
      expect(states).toMatchObject([{ name: 'disconnected', code: 'unauthenticated', reason: error.message }]);
      expect(JSON.stringify([states, errors.map(({ message, stack }) => [message, stack])])).not.toContain('secret');
      expect(node.upgrades).toBe(1);
    },
  );

  it('gets the reason if the ticket in its URL is refused, although no command gets a reply', async () => {
    await using node = await startTestNode();
    node.on('connect', (_command, connection) => {
      connection.error(null, 'invalidToken', 'The ticket is used.');
      connection.close('unauthenticated');
    });
    await using client = connect(node);
    const errors = record(client, 'error');
    expect(await failure(client.connect())).toMatchObject({ message: 'invalidToken: The ticket is used.' });
    expect(errors).toHaveLength(1);
  });

  it('reconnects after connectTimeoutMs if the node does not close the connection', async () => {
    await using node = await startTestNode();
    node.on('connect', ({ id, token }, connection, proceed) =>
      token === 't1' ? connection.error(id, 'invalidToken') : proceed(),
    );
    await using client = connect(node, { getToken: tokens(), connectTimeoutMs: 100 });
    const states = record(client, 'state');
    await client.connect();
    expect(states[0]).toMatchObject({ name: 'connecting', code: 'refused', reason: 'invalidToken: Because.' });
  });

  it('stays disconnected if it was revoked', async () => {
    await using node = await startTestNode();
    await using client = connect(node, { getToken: tokens() });
    const errors = record(client, 'error');
    await client.connect();
    (await node.connection()).close('revoked');
    await until(() => client.state.name === 'disconnected');
    const error = {
      code: 'disconnected',
      closeCode: 4503,
      message: 'The connection, its token or its user was revoked.',
    };
    expect(client.state).toMatchObject({ code: 'revoked', closeCode: 4503 });
    expect(errors).toMatchObject([error]);
    expect(await failure(client.publish('a', 1))).toMatchObject({ code: 'closed' });
    // Until the application calls connect().
    await client.connect();
    expect(node.connections.map(shown)).toEqual([['t1'], ['t2']]);
  });

  it.each(['authenticationTimeout', 'tooManyConnections', 'rateLimited', 'overloaded'] as const)(
    'reconnects after a temporary reason: %s',
    async (reason) => {
      await using node = await startTestNode();
      await using client = connect(node, { getToken: tokens() });
      const states = record(client, 'state');
      await client.connect();
      (await node.connection()).close(reason);
      await until(() => states.length === 3);
      expect(states.map(({ name }) => name)).toEqual(['connected', 'connecting', 'connected']);
      expect(states[1]).toMatchObject({ code: reason });
    },
  );
});

describe('a client whose token does not permit a command', () => {
  it('does not repeat the command', async () => {
    await using node = await startTestNode({ hasHistory: true });
    for (const type of ['subscribe', 'publish', 'history'] as const)
      node.on(type, ({ id }, connection) => connection.error(id, 'notPermitted', 'Not you.'));
    await using client = connect(node, { getToken: tokens() });
    const refused = { name: 'ReplyError', code: 'notPermitted', message: 'Not you.', retryable: false };
    expect(await failure(client.subscribe('a').ready)).toMatchObject(refused);
    expect(await failure(client.publish('a', 1))).toMatchObject({ ...refused, maybeDelivered: false });
    expect(await failure(client.history('a'))).toMatchObject(refused);
    const types = (await node.connection()).commands.map(({ type }) => type);
    expect(types).toEqual(['connect', 'subscribe', 'publish', 'history']);
    expect(client.state.name).toBe('connected');
  });

  it('keeps a newer subscription if the node ends an unsubscribed one', async () => {
    await using node = await startTestNode();
    await using client = connect(node);
    const first = client.subscribe('a');
    await first.ready;
    const connection = await node.connection();
    // The node ends the first subscription before it reads the unsubscribe.
    node.on('unsubscribe', (_command, _connection, proceed) => {
      connection.unsubscribed(null, 'a', 'notPermitted');
      proceed();
    });
    first.unsubscribe();
    const second = client.subscribe('a');
    await second.ready;
    expect(second.state.name).toBe('subscribed');
  });

  it('reports an ended subscription while it drains', async () => {
    await using node = await startTestNode();
    await using client = connect(node);
    const subscription = client.subscribe('a', () => {});
    const errors = record(subscription, 'error');
    await subscription.ready;
    node.on('unsubscribe', ({ id }, connection) => {
      connection.unsubscribed(null, 'a', 'notPermitted');
      connection.error(id, 'notSubscribed');
    });
    await client.drain();
    expect(client.state).toMatchObject({ name: 'disconnected', code: 'drained' });
    expect(errors).toMatchObject([{ code: 'notPermitted' }]);
  });
});

it('a client moves to another node with a new token', async () => {
  await using node = await startTestNode({ hasHistory: true, expiresInMs: 60_000 });
  await using client = connect(node, { getToken: tokens() });
  await client.subscribe('a', () => {}).ready;
  const first = await node.connection();
  first.goaway(1);
  await until(() => first.closed !== null);
  expect(node.connections.map(shown)).toEqual([['t1'], ['t2']]);
  await client.publish('a', 1);
});

it('a moving client keeps a subscription that ends only on the first connection', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node, { getToken: tokens() });
  const heard: unknown[] = [];
  const subscription = client.subscribe('a', ({ data }) => heard.push(data));
  await subscription.ready;
  const first = await node.connection();
  const answers: Array<() => void> = [];
  node.on('subscribe', (_command, _connection, proceed) => answers.push(proceed));
  first.goaway(1);
  await until(() => answers.length === 1);
  first.topics.delete('a');
  first.unsubscribed(null, 'a', 'notPermitted');
  node.publish('a', 1);
  await until(() => subscription.state.name === 'subscribing');
  answers[0]?.();
  await until(() => heard.length === 1);
  expect(subscription.state.name).toBe('subscribed');
});

it('a client renews the token on the connection it has moved to', async () => {
  await using node = await startTestNode({ hasHistory: true });
  let calls = 0;
  await using client = connect(node, {
    getToken: () => (++calls === 3 ? Promise.reject(new Error('No.')) : `t${calls}`),
  });
  const states = record(client, 'state');
  await client.subscribe('a', () => {}).ready;
  // Long enough for the move.
  node.on('connect', ({ id }, connection) =>
    connection.reply({
      type: 'connected',
      id,
      node: 'next',
      pingIntervalMs: 25_000,
      maxFrameBytes: 65_536,
      expiresInMs: 500,
    }),
  );
  (await node.connection()).goaway(1);
  await (await node.connection(1)).received('refresh');
  await until(() => states.length === 4);
  const next = { name: 'connected', node: 'next' };
  expect(states.slice(1)).toMatchObject([next, { ...next, tokenError: { code: 'tokenFailed' } }, next]);
  expect(shown(node.connections[1])).toEqual(['t2', 't4']);
});

function raise(error: Error): never {
  throw error;
}
