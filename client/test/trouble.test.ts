/** No server, a wrong port, a wrong path: which errors the application gets, and how often. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { promisify } from 'node:util';
import { createClient, type FanfareError, type WebSocketConstructor } from '@fanfare/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ServerOptions, WebSocketServer } from 'ws';
import { NodeWebSocket } from '../src/websocket-node.js';
import { failure, quick, record } from './harness.js';
import { startTestNode, until } from './test-node.js';

/** A port without a server. */
const nobody = 'ws://127.0.0.1:1/ws?ticket=secret';

it('the error names the reason, the address and the number of attempts if there is no connection', async () => {
  await using client = createClient(nobody, { ...quick, timeoutMs: 1_000 });
  const errors = record(client, 'error');
  client.connect().catch(() => {});
  await until(() => errors.length > 0);
  for (const waiting of [client.publish('a', 1), client.history('a')]) {
    const error = (await failure(waiting)) as FanfareError & { cause: FanfareError };
    const why = /No connection to ws:\/\/127\.0\.0\.1:1\/ws after \d+ attempts?: connect ECONNREFUSED 127\.0\.0\.1:1$/;
    expect(error).toMatchObject({ code: 'timeout', maybeDelivered: false, message: expect.stringMatching(why) });
    expect(error.message).toMatch(/^No answer in time \(1000 ms\)\. /);
    expect(error.cause).toMatchObject({ code: 'connectFailed', message: expect.stringMatching(why) });
    expect(error.cause.cause).toMatchObject({ code: 'ECONNREFUSED' });
    expect(JSON.stringify([error.message, error.cause.message])).not.toContain('secret');
  }
  // Once, at the first attempt.
  expect(errors).toEqual([
    expect.objectContaining({
      code: 'connectFailed',
      message: 'No connection to ws://127.0.0.1:1/ws after 1 attempt: connect ECONNREFUSED 127.0.0.1:1',
    }),
  ]);
});

it('the error quotes the answer of the server', async () => {
  await using node = await startTestNode();
  node.refuseWith = 404;
  node.sentence = 'Not found. The WebSocket endpoint is /ws.';
  await using client = createClient(node.url, quick);
  const states = record(client, 'state');
  const errors = record(client, 'error');
  client.subscribe('a');
  await until(() => errors.length > 0);
  const reason = `HTTP 404: ${node.sentence}`;
  expect(errors[0]?.message).toBe(`No connection to ${node.url} after 1 attempt: ${reason}`);
  expect(states[1]).toMatchObject({ name: 'connecting', code: 'connectFailed', reason });
  node.refuseWith = null;
  await client.connect();
  (await node.connection()).cut();
  node.refuseWith = 503;
  await until(() => states.filter(({ name }) => name === 'connecting').length >= 4);
  // A connection lost later is a state, not an error.
  expect(errors).toHaveLength(1);
});

describe('the error of a client without a connection has the reason', () => {
  it('at the first attempt', async () => {
    const silent = createTcpServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const url = `ws://127.0.0.1:${(silent.address() as AddressInfo).port}/ws`;
    await using client = createClient(url, { timeoutMs: 50 });
    const message = `No connection to ${url} yet. The node has not answered for NUMBER ms.`;
    const pattern = new RegExp(`^No answer in time \\(50 ms\\)\\. ${message.replace('NUMBER', '\\d+')}$`);
    for (const waiting of [client.publish('a', 1), client.history('a')]) {
      expect(await failure(waiting)).toMatchObject({
        code: 'timeout',
        message: expect.stringMatching(pattern),
        cause: expect.objectContaining({ code: 'connectFailed' }),
      });
    }
    await using asking = createClient(url, { timeoutMs: 50, getToken: () => new Promise(() => {}) });
    expect(await failure(asking.publish('a', 1))).toMatchObject({
      message: expect.stringContaining('getToken() has not answered for'),
    });
    silent.close();
  });

  it('if connect() was not called', async () => {
    await using client = createClient(nobody, { autoConnect: false, timeoutMs: 20 });
    const message =
      'No answer in time (20 ms). No connection to ws://127.0.0.1:1/ws: The client is not connected. Call connect().';
    expect(await failure(client.publish('a', 1))).toMatchObject({ code: 'timeout', message });
  });

  it('after a lost connection, before the next attempt', async () => {
    await using node = await startTestNode();
    await using client = createClient(node.url, { reconnectBaseDelayMs: 60_000, random: () => 0.99 });
    await client.connect();
    (await node.connection()).cut();
    await until(() => client.state.name === 'connecting');
    expect(await failure(client.publish('a', 1, { timeoutMs: 20 }))).toMatchObject({
      message: `No answer in time (20 ms). The connection to ${node.url} is lost: The connection ended without a close frame.`,
    });
  });

  it('in drain()', async () => {
    const client = createClient(nobody, { ...quick, drainTimeoutMs: 100 });
    const errors = record(client, 'error');
    client.send('a', 1);
    await until(() => errors.length > 0);
    expect(await failure(client.drain())).toMatchObject({
      code: 'timeout',
      message: expect.stringMatching(
        /^drain\(\) took longer than drainTimeoutMs \(100 ms\)\. Everything that was still waiting is dropped\. No connection to .*ECONNREFUSED/,
      ),
      cause: expect.objectContaining({ code: 'connectFailed' }),
    });
  });

  it('if getToken() fails', async () => {
    await using node = await startTestNode();
    const getToken = (): Promise<string> => Promise.reject(new Error('Failed to fetch'));
    await using client = createClient(node.url, { ...quick, getToken });
    const errors = record(client, 'error');
    client.subscribe('a');
    await until(() => errors.length > 0);
    expect(errors[0]?.message).toBe(`No connection to ${node.url} after 1 attempt: getToken() failed: Failed to fetch`);
  });
});

describe('the error for a WebSocket server that is not a node', () => {
  it.each<[string, ServerOptions['handleProtocols'], RegExp]>([
    ['opens the connection without the subprotocol', () => false, /without the Fanfare subprotocol\.$/],
    ['sends another protocol', (offered) => [...offered][0] ?? false, /"type" must be a string\.$/],
  ])('names the URL if the server %s', async (_name, handleProtocols, why) => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...(handleProtocols && { handleProtocols }) });
    if (server.address() === null) await once(server, 'listening');
    server.on('connection', (socket) => socket.send('{"hello":1}'));
    const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    try {
      await using client = createClient(url, { ...quick, encoding: 'json' });
      const errors = record(client, 'error');
      client.subscribe('a');
      await until(() => errors.length > 0);
      const [{ message } = { message: '' }] = errors;
      expect(message).toContain('after 1 attempt: The server does not speak Fanfare: check the host, port and path of');
      expect(message).toMatch(why);
    } finally {
      for (const socket of server.clients) socket.terminate();
      server.close();
    }
  });
});

it.each([600, 1_000_000])(
  'the client waits as long as Retry-After, but at most ten minutes, unless connect() is called: %i s',
  async (retryAfter) => {
    await using node = await startTestNode();
    node.refuseWith = 503;
    node.retryAfter = retryAfter;
    await using client = createClient(node.url, quick);
    const clock = vi.spyOn(globalThis, 'setTimeout');
    try {
      client.connect().catch(() => {});
      await until(() => client.state.name === 'connecting' && client.state.attempt === 1);
      const longestMs = Math.max(...clock.mock.calls.map(([, delayMs]) => delayMs ?? 0));
      expect(longestMs).toBeGreaterThan(590_000);
      expect(longestMs).toBeLessThan(630_000);
    } finally {
      clock.mockRestore();
    }
    node.refuseWith = null;
    await client.connect();
    expect(node.upgrades).toBe(2);
  },
);

it('the client writes one warning to the console if there is no error listener', async () => {
  const script = `
    const { createClient } = await import('@fanfare/client');
    const client = createClient('${nobody}', { reconnectMaxDelayMs: 5 });
    client.on('state', ({ attempt }) => attempt === 3 && client.close());
    client.subscribe('a');
  `;
  const args = ['--input-type=module', '--eval', script];
  const { stderr } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname });
  expect(stderr.split('Fanfare: ')).toHaveLength(2);
  expect(stderr).toContain('No connection to ws://127.0.0.1:1/ws after 1 attempt: connect ECONNREFUSED 127.0.0.1:1');
  expect(stderr).not.toContain('secret');
});

/** A WebSocket class whose `error` event is the result of `shown`. */
function webSocketWithError(shown: (event: unknown) => unknown) {
  return class extends NodeWebSocket {
    constructor(url: string, protocols: string) {
      super(url, protocols);
      let listener: NodeWebSocket['onerror'] = null;
      Object.defineProperty(this, 'onerror', {
        get: () => listener && ((event: unknown) => listener?.(shown(event))),
        set: (given) => {
          listener = given;
        },
      });
    }
  };
}

/** Browsers give no reason. */
const Silent = webSocketWithError(() => ({}));
/** Node 22 and later give this message for any reason. */
const NodesOwn = webSocketWithError(() => {
  const message = 'Received network error or non-101 status code.';
  return { message, error: new Error(message) };
});

/** The error of a client's first attempt. */
async function firstTrouble(url: string, webSocket: WebSocketConstructor): Promise<string | undefined> {
  await using client = createClient(url, { ...quick, webSocket });
  const errors = record(client, 'error');
  client.subscribe('a');
  await until(() => errors.length > 0);
  return errors[0]?.message;
}

describe.each([
  ['gives no reason', Silent],
  ['gives a general reason', NodesOwn],
])('the client asks with an HTTP request for the reason if the WebSocket of the platform %s', (_name, webSocket) => {
  beforeEach(() => void vi.stubGlobal('WebSocket', webSocket));
  afterEach(() => void vi.unstubAllGlobals());

  it('at each attempt', async () => {
    const node = await startTestNode();
    const { url } = node;
    node.refuseWith = 404;
    node.sentence = 'There is nothing here.';
    expect(await firstTrouble(url, webSocket)).toMatch(/after 1 attempt: HTTP 404: There is nothing here\.$/);
    node.refuseWith = 426;
    expect(await firstTrouble(url, webSocket)).toMatch(
      /A Fanfare node answers at this address but rejects the WebSocket/,
    );
    node.refuseWith = 503;
    node.sentence = 'The node is full.';
    await using client = createClient(url, { ...quick, webSocket });
    const states = record(client, 'state');
    const errors = record(client, 'error');
    client.connect().catch(() => {});
    await until(() => errors.length > 0);
    const full = 'HTTP 503: The node is full.';
    expect(states[1]).toMatchObject({ name: 'connecting', code: 'connectFailed', reason: full });
    node.refuseWith = null;
    await client.connect();
    // A later outage has another reason.
    await node[Symbol.asyncDispose]();
    await until(() => client.state.name === 'connecting' && client.state.code === 'connectFailed');
    expect(client.state).toMatchObject({ reason: expect.stringMatching(/^connect ECONNREFUSED 127\.0\.0\.1:\d+$/) });
    expect(await failure(client.publish('a', 1, { timeoutMs: 20 }))).toMatchObject({
      message: expect.stringMatching(/attempts?: connect ECONNREFUSED 127\.0\.0\.1:\d+$/),
    });
  });
});

it('the client does not send the ticket of the URL when it asks for the reason', async () => {
  const asked: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url);
    response.writeHead(403).end('No.');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.on('upgrade', (_request, socket) => socket.end('HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n'));
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws?ticket=secret`;
  expect(await firstTrouble(url, Silent)).toMatch(/HTTP 403: No\.$/);
  expect(new Set(asked)).toEqual(new Set(['/ws']));
  server.closeAllConnections();
  server.close();
});

it('the client retries even if the WebSocket gives no reason and no close event', async () => {
  await using node = await startTestNode();
  node.refuseWith = 503;
  class Abrupt extends Silent {
    constructor(url: string, protocols: string) {
      super(url, protocols);
      let listener: NodeWebSocket['onclose'] = null;
      Object.defineProperty(this, 'onclose', {
        get: () => (this.protocol === '' ? null : listener),
        set: (given) => {
          listener = given;
        },
      });
    }
  }
  await using client = createClient(node.url, { ...quick, webSocket: Abrupt, connectTimeoutMs: 60_000 });
  client.on('error', () => {});
  const connected = client.connect();
  await until(() => node.upgrades >= 2);
  node.refuseWith = null;
  await connected;
});
