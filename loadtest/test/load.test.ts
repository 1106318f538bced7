/** The generator tells the truth also where things go wrong. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { startNode } from '@fanfare/local-cluster';
import { expect, it } from 'vitest';
import { ClientConnection } from '../src/load/client-connection.js';
import { Connection } from '../src/load/connection.js';
import { localTarget } from '../src/load/deployment.js';
import { Reception } from '../src/load/reception.js';
import { ShardProcess } from '../src/load/shard-process.js';
import { stampText } from '../src/load/stamp.js';
import { defaultWorkload } from '../src/load/workload.js';
import { carryOutRuns } from '../src/load-command.js';
import { protocols } from '../src/protocols/protocols.js';
import { run } from '../src/scenarios/scenario.js';
import { quiet, shortSettings } from './short-runs.js';

function optionsFor(port: number) {
  return {
    protocol: protocols.msgpack,
    target: localTarget(port),
    localAddress: null,
    role: 'subscriber',
    topics: ['t'],
    onPublication: () => {},
    onFailure: () => {},
    timeoutMs: 2_000,
  } as const;
}

/** A server that answers the first bytes of each connection with these, and nothing more. */
async function answering(bytes: Buffer) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.write(bytes));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, [Symbol.asyncDispose]: async () => void server.close() };
}

const agreed = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n';

it('a connection that is closed in the same breath as it is accepted is refused, not waited for', async () => {
  const closeFrame = Buffer.from([0x88, 2, 0x0f, 0xa1]);
  await using server = await answering(Buffer.concat([Buffer.from(agreed), closeFrame]));
  await expect(Connection.open(optionsFor(server.port))).rejects.toThrow('The server closed the connection: 4001');
});

it('a server that never answers a subscribe is given up', async () => {
  await using server = await answering(Buffer.from(agreed));
  await expect(Connection.open({ ...optionsFor(server.port), timeoutMs: 200 })).rejects.toThrow(/within 200 ms/);
});

it('a server that never answers the typed client is given up', async () => {
  await using server = await answering(Buffer.from(''));
  const { target } = optionsFor(server.port);
  const nothing = { onPublication: () => {}, onTold: () => {}, onFailure: () => {} };
  const options = { target, encoding: 'msgpack', publicationBytes: 100, timeoutMs: 200, ...nothing } as const;
  await expect(ClientConnection.open(options, ['t'])).rejects.toThrow(
    'The typed client could not connect and subscribe within 200 ms.',
  );
});

it('a subscription that waits for its answer hears that the connection is gone', async () => {
  await using node = await startNode();
  const connection = await Connection.open(optionsFor(node.port));
  const waiting = connection.subscribe(['another']);
  connection.leave();
  await expect(waiting).rejects.toThrow('The connection was closed.');
  await expect(connection.subscribe(['third'])).rejects.toThrow('The connection was closed.');
});

it('a generator process that ends is told, also to who asks later', async () => {
  const shard = new ShardProcess();
  process.kill(shard.pid, 'SIGKILL');
  const ask = (): Promise<unknown> => shard.settle(new Float64Array(0), 10);
  await expect(ask()).rejects.toThrow('A generator process ended.');
  await expect(ask()).rejects.toThrow('A generator process ended.');
  await shard[Symbol.asyncDispose]();
});

it('takes latencies of all subscribers, whatever nodes they are on', () => {
  const reception = new Reception({ ...defaultWorkload, subscribers: 4, perSecond: 1 }, 2);
  reception.isMeasuring = true;
  for (let subscriber = 0; subscriber < 4; subscriber++) reception.begin(subscriber, true);
  const deliver = (subscriber: number, sequence: number): void =>
    reception.record(subscriber, Buffer.from(stampText(0, sequence, 0)), 0);
  for (let sequence = 0; sequence < 50; sequence++) for (const subscriber of [1, 3]) deliver(subscriber, sequence);
  expect(reception.latency.totalCount).toBe(50);
});

it('counts what was published in the measured time and nothing else, also where bursts do not divide the second', async () => {
  const workload = { subscribers: 2, perSecond: 78.125, burst: 16, warmUpSeconds: 0.5, seconds: 1 };
  const [result] = await carryOutRuns([run('bursts', workload)], { ...shortSettings, generators: 1 }, quiet);
  expect(result?.published).toBe(80);
  expect(result?.deliveries).toBe(160);
});
