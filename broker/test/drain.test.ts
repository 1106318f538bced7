/** How a node stops: clients move to other nodes, and the remaining connections are closed in waves. */

import { startNode, startRedis } from '@fanfare/local-cluster';
import { closeReasons } from '@fanfare/protocol';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { drain } from '../src/node/drain.js';
import { startCluster } from './harness.js';
import { TestConnection } from './test-connection.js';
import { until, within } from './wait.js';

const connect = (url: string, count: number): Promise<TestConnection[]> =>
  Promise.all(Array.from({ length: count }, () => TestConnection.open(url)));

// Concurrent: one of them waits until no other node needs what the node remembers.
describe.concurrent('a node that drains', () => {
  it('invites each client to move at a different moment, serves all until they have moved, and ends then', async () => {
    await using cluster = await startCluster({ nodes: 2, env: { FANFARE_DRAIN_WINDOW_MS: '60000' } });
    const node = cluster.node();
    const far = await cluster.subscriber('t', 1);
    const clients = await connect(node.url, 20);
    const [reader] = clients as [TestConnection];
    await reader.subscribe('t');
    const drained = node.broker.drain();
    const delays: number[] = [];
    for (const client of clients) delays.push((await client.next('goaway')).delayMs);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...delays)).toBeLessThanOrEqual(45_000);
    expect(new Set(delays).size).toBeGreaterThan(15);
    expect((await node.readiness()).status).toBe(503);
    await expect(TestConnection.open(node.url)).rejects.toThrow();
    // It still serves subscriptions, and publications in both directions.
    expect(await reader.publish('t', 'from here')).toMatchObject({ type: 'published' });
    expect(await far.take('t', 1)).toEqual(['from here']);
    await far.publish('t', 'to here');
    expect(await reader.take('t', 2)).toEqual(['from here', 'to here']);
    expect(await reader.subscribe('new')).toMatchObject({ type: 'subscribed' });
    for (const client of clients) await client.close();
    await within('the node has drained', drained);
    await cluster.node(1).broker.drain({ atOnce: true });
  });

  it('closes the remaining connections in waves, with a code that makes clients reconnect', async () => {
    await using cluster = await startCluster({
      redis: true,
      env: { FANFARE_DRAIN_WINDOW_MS: '50', FANFARE_DRAIN_WAVES: '4', FANFARE_DRAIN_WAVE_INTERVAL_MS: '100' },
    });
    const node = cluster.node();
    const clients = await connect(node.url, 40);
    const drained = node.broker.drain();
    for (const client of clients)
      expect(await within('the connection is closed', client.closed)).toEqual(closeReasons.draining);
    await within('the node has drained', drained);
    // In four waves, so that not all clients reconnect at once.
    const waves = node.log.filter(({ event }) => event === 'drainWave');
    expect(waves).toMatchObject([{ closed: 10 }, { closed: 10 }, { closed: 10 }, { closed: 10 }]);
  });

  it('counts and logs the steps of draining', async () => {
    await using cluster = await startCluster({ redis: true, env: { FANFARE_DRAIN_WINDOW_MS: '60000' } });
    const node = cluster.node();
    const clients = await connect(node.url, 3);
    const drained = node.broker.drain();
    await until('the clients are invited', async () => (await node.metric('fanfare_connections_invited_total')) === 3);
    expect(node.log.some(({ msg }) => msg.includes('asking 3 connections to move within 60000 ms'))).toBe(true);
    for (const client of clients) await client.close();
    await within('the node has drained', drained);
  });
});

describe('a node that is stopped at a terminal (SIGINT)', () => {
  it('closes all connections at once', async () => {
    await using redis = await startRedis();
    await using node = await startNode({ redisUrl: redis.url });
    const clients = await connect(node.url, 5);
    process.kill(node.pid, 'SIGINT');
    for (const client of clients)
      expect(await within('the connection is closed', client.closed)).toEqual(closeReasons.draining);
    expect(await node.exited).toBe(0);
    expect(clients.some(({ inbox }) => inbox.waiting.some(({ type }) => type === 'goaway'))).toBe(false);
  });
});

describe('the window of a drain', () => {
  it('lasts until HTTP clients have closed their idle sockets, but no longer than it is', async () => {
    let sockets = 2;
    let looks = 0;
    const parts = {
      ...{ connections: [], counters: { connectionsInvited: 0 }, log: pino({ level: 'silent' }) },
      flush: async () => undefined,
      requests: () => 0,
      httpSockets: () => (looks++ < 3 ? sockets : 0),
    };
    const settings = { drainWindowMs: 60_000, drainWaves: 1, drainWaveIntervalMs: 0, drainTimeoutMs: 1_000 };
    expect(await drain(settings, parts)).toBe(0);
    expect(looks).toBe(4);
    // Sockets that stay open do not hold it up.
    sockets = 1;
    looks = Number.NEGATIVE_INFINITY;
    expect(await drain({ ...settings, drainWindowMs: 20 }, parts)).toBe(0);
  });
});
