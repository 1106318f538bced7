/** How the typed client finds a transport that works, and how it returns to a WebSocket. Real nodes, bad networks. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { ConnectionState } from '@fanfare/client';
import { type ClientOptions, createClient, type FallbackClient, type Transport } from '@fanfare/client/fallback';
import { describe, expect, it, vi } from 'vitest';
import { startCluster, startNode } from '../../broker/test/harness.js';
import { until } from '../../broker/test/wait.js';
import { Winner } from '../../client/src/fallback/transports.js';
import { Entry } from './entry.js';
import { Network } from './network.js';

type Client = FallbackClient<Record<string, unknown>>;

function connect(url: string, options: ClientOptions = {}): Client {
  const quick = { reconnectBaseDelayMs: 5, reconnectMaxDelayMs: 50, timeoutMs: 60_000 };
  return createClient(url, { ...quick, ...options }) as unknown as Client;
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, at) => from + at);

/** Publishes, and waits until the same client has received it. */
async function expectToWork(client: Client, transport: Transport): Promise<void> {
  const seen: unknown[] = [];
  await client.subscribe('news', ({ data }) => seen.push(data)).ready;
  await client.publish('news', 'hello');
  await until('the publication arrives', () => seen.length > 0);
  expect(seen).toEqual(['hello']);
  expect(client.transport).toBe(transport);
}

/** The states and the transports at those times. */
function record(client: Client): [ConnectionState['name'], Transport | null][] {
  const states: [ConnectionState['name'], Transport | null][] = [];
  client.on('state', ({ name }) => states.push([name, client.transport]));
  return states;
}

describe.concurrent('the client finds the transport that works', () => {
  it.each([
    ['webSocket', 'work', 'work'],
    ['serverSentEvents', 'refused', 'work'],
    ['serverSentEvents', 'mute', 'work'],
    ['serverSentEvents', 'silent', 'work'],
    ['longPolling', 'refused', 'buffered'],
    ['longPolling', 'mute', 'buffered'],
    ['longPolling', 'silent', 'buffered'],
    ['webSocket', 'work', 'refused'],
    ['webSocket', 'work', 'silent'],
  ] as const)('it is %s if WebSockets are: %s, and requests: %s', async (transport, webSockets, requests) => {
    await using node = await startNode({});
    await using network = await Network.start(node.url);
    Object.assign(network, { webSockets, requests });
    await using client = connect(network.url);
    await expectToWork(client, transport);
  });

  it('a client that only publishes also falls back', async () => {
    await using node = await startNode({});
    await using network = await Network.start(node.url);
    network.webSockets = 'refused';
    await using client = connect(network.url);
    await client.publish('news', 1);
    expect(client.transport).toBe('serverSentEvents');
    // Only now it turns out that streams do not get through.
    network.requests = 'buffered';
    await expectToWork(client, 'longPolling');
  });

  it('the next connection begins with the transport that has worked', async () => {
    await using node = await startNode({});
    await using network = await Network.start(node.url);
    network.webSockets = 'silent';
    await using client = connect(network.url);
    await expectToWork(client, 'serverSentEvents');
    expect(network.count('WebSocket')).toBe(1);
    await client.close();
    const states = record(client);
    await client.connect();
    expect(states).toEqual([
      ['connecting', null],
      ['connected', 'serverSentEvents'],
    ]);
    expect(network.count('WebSocket')).toBe(1);
  });

  it('a stream that breaks is opened again, and the connection lasts', async () => {
    await using node = await startNode({});
    await using network = await Network.start(node.url);
    await using client = connect(network.url, { transports: ['serverSentEvents'] });
    await using writer = connect(node.url);
    const seen: unknown[] = [];
    await client.subscribe('news', ({ data }) => seen.push(data)).ready;
    const states = record(client);
    for (const value of numbers(1, 20)) {
      network.cut();
      await writer.publish('news', value);
      await until('the publication arrives', () => seen.length >= value);
    }
    expect(seen).toEqual(numbers(1, 20));
    expect(states).toEqual([]);
  });

  it('the transport that has worked may fail: then the others are tried', async () => {
    await using node = await startNode({});
    await using network = await Network.start(node.url);
    network.webSockets = 'refused';
    await using client = connect(network.url);
    await expectToWork(client, 'serverSentEvents');
    network.webSockets = 'work';
    network.requests = 'refused';
    network.cut();
    await until('the client uses a WebSocket', () => client.transport === 'webSocket');
  });

  it.each(['serverSentEvents', 'longPolling'] as const)(
    'over %s, each publication is accepted once and in order, although connections break',
    async (transport) => {
      await using node = await startNode({});
      await using network = await Network.start(node.url);
      await using client = connect(network.url, { transports: [transport] });
      await using reader = connect(node.url);
      const seen: unknown[] = [];
      await reader.subscribe('news', ({ data }) => seen.push(data)).ready;
      const published: Promise<unknown>[] = [];
      for (const value of numbers(1, 300)) {
        published.push(client.publish('news', value));
        if (value % 10 !== 0) continue;
        const before = network.count('POST /v1/commands');
        await until('a request has begun', () => network.count('POST /v1/commands') > before || seen.length === value);
        network.cut();
      }
      await Promise.all(published);
      await until('everything has arrived', () => seen.length >= 300);
      expect(seen).toEqual(numbers(1, 300));
    },
  );

  it('a stream that is silent is opened again', async () => {
    await using node = await startNode({ FANFARE_SSE_HEARTBEAT_MS: '1000' });
    await using network = await Network.start(node.url);
    await using client = connect(network.url, { transports: ['serverSentEvents'] });
    await using writer = connect(node.url);
    const seen: unknown[] = [];
    await client.subscribe('news', ({ data }) => seen.push(data)).ready;
    const states = record(client);
    network.freeze();
    for (const value of numbers(1, 3)) await writer.publish('news', value);
    // Requests work, so the client as a whole hears something.
    await client.publish('other', 1);
    await until('everything has arrived', () => seen.length === 3);
    expect(seen).toEqual([1, 2, 3]);
    expect(states).toEqual([]);
  });

  it('a client without a subscription notices that the node is out of reach', async () => {
    await using node = await startNode({ FANFARE_PING_INTERVAL_MS: '1000' });
    await using network = await Network.start(node.url);
    await using client = connect(network.url, { transports: ['serverSentEvents'], pongTimeoutMs: 1_000 });
    await client.connect();
    const before = network.count('POST');
    await until('a ping reaches the node', () => network.count('POST') > before);
    expect(client.state.name).toBe('connected');
    const lost = new Promise((resolve) => client.on('state', resolve));
    network.requests = 'silent';
    expect(await lost).toMatchObject({ name: 'connecting', code: 'heartbeatTimeout' });
  });

  it('a client whose stream is refused is not connected, and says why', async () => {
    await using cluster = await startCluster({ nodes: 2, env: { FANFARE_MAX_CONNECTIONS: '1' } });
    await using entry = await Entry.start(cluster.node(0).url);
    // The second node has no room for another one.
    await using writer = connect(cluster.node(1).url);
    await using client = connect(entry.url, { transports: ['serverSentEvents'] });
    const seen: unknown[] = [];
    await client.subscribe('news', ({ data }) => seen.push(data)).ready;
    await writer.publish('news', 1);
    await until('the publication arrives', () => seen.length === 1);
    const lost = new Promise((resolve) => client.on('state', resolve));
    entry.close();
    entry.open(cluster.node(1).url);
    const reason = 'This node has reached its connection limit. Another node may have room.';
    expect(await lost).toMatchObject({ name: 'connecting', reason });
    await writer.publish('news', 2);
    entry.close();
    entry.open(cluster.node(0).url);
    await client.connect();
    await until('the publication arrives', () => seen.length === 2);
    expect(seen).toEqual([1, 2]);
  });

  it('a request that is not answered ends the connection, and its publication is accepted once', async () => {
    await using node = await startNode({});
    await using network = await Network.start(node.url);
    await using client = connect(network.url, { transports: ['serverSentEvents'] });
    await using reader = connect(node.url);
    const seen: unknown[] = [];
    await reader.subscribe('news', ({ data }) => seen.push(data)).ready;
    await client.publish('news', 1);
    network.requests = 'swallowed';
    const before = network.count('POST');
    const published = client.publish('news', 2);
    await until('the request has begun', () => network.count('POST') > before);
    await until('it has reached the node', () => seen.length === 2);
    network.requests = 'work';
    await published;
    await client.publish('news', 3);
    await until('everything has arrived', () => seen.length === 3);
    expect(seen).toEqual([1, 2, 3]);
  });

  it('events arrive whole, however the network divides them', async () => {
    await using node = await startNode({});
    await using network = await Network.start(node.url);
    network.requests = 'divided';
    await using client = connect(network.url, { transports: ['serverSentEvents'] });
    const seen: unknown[] = [];
    await client.subscribe('news', ({ data }) => seen.push(data)).ready;
    const values = ['ä€😀', '\r\n\r\n', { 'data: x\n\nid: y': '😀'.repeat(50) }];
    for (const value of values) await client.publish('news', value);
    await until('everything has arrived', () => seen.length >= values.length);
    expect(seen).toEqual(values);
  });

  it('if nothing works, the error says what each transport has tried', async () => {
    await using node = await startNode({});
    await using network = await Network.start(node.url);
    network.webSockets = 'refused';
    network.requests = 'refused';
    await using client = connect(network.url, { timeoutMs: 5_000 });
    const foreign = 'HTTP 404, but not from a Fanfare node: check that the proxy also forwards /v1';
    await expect(client.publish('news', 1)).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringMatching(
        new RegExp(`No transport works\\. webSocket: HTTP 403; serverSentEvents: ${foreign}; longPolling: ${foreign}$`),
      ),
    });
    expect(client.transport).toBeNull();
  });

  it('a server that accepts connections and never answers is reported', async () => {
    const server = createServer(() => {}).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = connect(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws`, { connectTimeoutMs: 900 });
    const states = record(client);
    const error = new Promise<Error>((resolve) => client.on('error', resolve));
    client.subscribe('news');
    expect((await error).message).toMatch(/The node did not answer within 900 ms\.$/);
    expect(states[0]).toEqual(['connecting', null]);
    await client.close();
    server.close();
  });

  it('a node that is not there is reported like for any client', async () => {
    await using client = connect('ws://127.0.0.1:1/ws', { timeoutMs: 300 });
    await expect(client.publish('news', 1)).rejects.toMatchObject({ message: expect.stringMatching(/ECONNREFUSED/) });
  });
});

describe.concurrent('the client returns to a WebSocket', () => {
  it.each([
    ['serverSentEvents', 'work'],
    ['longPolling', 'buffered'],
  ] as const)('from %s, without loss or repetition, while publications flow', async (transport, requests) => {
    await using cluster = await startCluster({ nodes: 2 });
    await using network = await Network.start(cluster.node(0).url);
    network.webSockets = 'refused';
    network.requests = requests;
    await using client = connect(network.url, { probeDelayMs: 300, random: () => 0.9 });
    await using writer = connect(cluster.node(1).url);
    const [seen, own]: [unknown[], unknown[]] = [[], []];
    const events: string[] = [];
    for (const [topic, into] of [
      ['news', seen],
      ['own', own],
    ] as const) {
      const subscription = client.subscribe(topic, ({ data }) => into.push(data));
      for (const name of ['gap', 'reset', 'error'] as const) subscription.on(name, () => events.push(name));
      await subscription.ready;
    }
    expect(client.transport).toBe(transport);
    const states = record(client);
    let sent = 0;
    const published: Promise<unknown>[] = [];
    const flow = async (): Promise<void> => {
      sent++;
      published.push(client.publish('own', sent));
      await writer.publish('news', sent);
    };
    while (sent < 30) await flow();
    network.webSockets = 'work';
    while (client.transport !== 'webSocket') await flow();
    const last = sent + 30;
    while (sent < last) await flow();
    await Promise.all(published);
    await until('everything has arrived', () => seen.length >= last && own.length >= last);
    expect(seen).toEqual(numbers(1, last));
    expect(own).toEqual(numbers(1, last));
    expect(events).toEqual([]);
    // It never was without a connection.
    expect(states).toEqual([['connected', 'webSocket']]);
    // Nothing is left of the other transport.
    await until('all requests have ended', () => network.open === 0);
    const before = network.log.length;
    await client.publish('own', 'end');
    expect(network.log.slice(before)).toEqual([]);
  });

  it('it tries again and again, and a WebSocket that does not answer is no success', async () => {
    await using node = await startNode({});
    await using network = await Network.start(node.url);
    network.webSockets = 'refused';
    await using client = connect(network.url, { probeDelayMs: 50, random: () => 0.9 });
    await expectToWork(client, 'serverSentEvents');
    await until('it has tried three times', () => network.count('WebSocket') > 3);
    expect(client.transport).toBe('serverSentEvents');
    network.webSockets = 'mute';
    const before = network.count('WebSocket');
    await until('it has tried again', () => network.count('WebSocket') > before);
    network.webSockets = 'work';
    await until('the client uses a WebSocket', () => client.transport === 'webSocket');
  });

  it('it does not try if a WebSocket is not among its transports', async () => {
    await using node = await startNode({});
    await using network = await Network.start(node.url);
    await using client = connect(network.url, {
      transports: ['serverSentEvents', 'longPolling'],
      probeDelayMs: 10,
      random: () => 0.9,
    });
    await expectToWork(client, 'serverSentEvents');
    await client.publish('news', 2);
    expect(network.count('WebSocket')).toBe(0);
  });
});

it('after ten minutes of long polling the client tries event streams again, without loss', async () => {
  await using node = await startNode({});
  await using network = await Network.start(node.url);
  Object.assign(network, { webSockets: 'refused', requests: 'buffered' });
  await using client = connect(network.url, { probeDelayMs: 100, random: () => 0.9 });
  await using writer = connect(node.url);
  const seen: unknown[] = [];
  await client.subscribe('news', ({ data }) => seen.push(data)).ready;
  expect(client.transport).toBe('longPolling');
  network.requests = 'work';
  const tried = network.count('WebSocket');
  await until('it tries a WebSocket', () => network.count('WebSocket') > tried);
  expect(client.transport).toBe('longPolling');
  vi.spyOn(Winner.prototype, 'transport', 'get').mockReturnValue(null);
  const states = record(client);
  let sent = 0;
  while (client.transport !== 'serverSentEvents') await writer.publish('news', ++sent);
  await writer.publish('news', ++sent);
  await until('everything has arrived', () => seen.length >= sent);
  expect(seen).toEqual(numbers(1, sent));
  expect(states).toEqual([['connected', 'serverSentEvents']]);
});

it.each(['webSocket', 'serverSentEvents', 'longPolling'] as const)(
  'a closed client over %s does not keep the process alive',
  async (transport) => {
    await using node = await startNode({});
    const code = `
      import { createClient } from '@fanfare/client/fallback';
      const client = createClient('${node.url}', { transports: ['${transport}'] });
      const subscription = client.subscribe('news', async () => {
        const began = performance.now();
        await client.close();
        process.on('exit', () => console.log(Math.round(performance.now() - began)));
      });
      await subscription.ready;
      await client.publish('news', 1).catch(() => {});
    `;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    const [status] = (await once(child, 'exit')) as [number];
    expect(status).toBe(0);
    // The shortest timer of a client that lasts is one of ten seconds.
    expect(Number(output)).toBeLessThan(8_000);
  },
);

it('wrong options are refused with a sentence', () => {
  const make = (options: object) => () => createClient('ws://127.0.0.1:1/ws', options);
  expect(make({ transports: [] })).toThrow(
    /^transports must be a list of one or more of webSocket, serverSentEvents, /,
  );
  expect(make({ transport: ['webSocket'] })).toThrow(
    /^createClient\(\) has no option "transport"\. Use one of .*transports/,
  );
  expect(make({ encoding: 'msgpack' })).toThrow('This client speaks json, not msgpack.');
});
