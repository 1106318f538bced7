/** How a node stops: clients move away, and what is left is closed in waves. */
import { startNode, startRedis } from '@fanfare/local-cluster';
import { closeReasons } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { TestConnection } from './test-connection.js';
import { until, within } from './wait.js';

const connect = (url: string, count: number): Promise<TestConnection[]> =>
  Promise.all(Array.from({ length: count }, () => TestConnection.open(url)));

describe('a node that gets SIGTERM', () => {
  it('invites each client to move at another moment, serves them until they have, and ends then', async () => {
    await using redis = await startRedis();
    await using node = await startNode({ redisUrl: redis.url, env: { FANFARE_DRAIN_WINDOW_MS: '60000' } });
    await using other = await startNode({ redisUrl: redis.url });
    await using far = await TestConnection.open(other.url);
    await far.subscribe('t');
    const clients = await connect(node.url, 20);
    const [reader] = clients as [TestConnection];
    await reader.subscribe('t');
    const stopped = node.stop();
    const delays: number[] = [];
    for (const client of clients) delays.push((await client.next('goaway')).delayMs);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...delays)).toBeLessThanOrEqual(45_000);
    expect(new Set(delays).size).toBeGreaterThan(15);
    expect((await fetch(`${node.adminUrl}/readyz`)).status).toBe(503);
    await expect(TestConnection.open(node.url)).rejects.toThrow();
    // It serves on: subscriptions, publications in both directions.
    expect(await reader.publish('t', 'from here')).toMatchObject({ type: 'published' });
    expect(await far.take('t', 1)).toEqual(['from here']);
    await far.publish('t', 'to here');
    expect(await reader.take('t', 2)).toEqual(['from here', 'to here']);
    expect(await reader.subscribe('new')).toMatchObject({ type: 'subscribed' });
    for (const client of clients) await client.close();
    expect(await stopped).toBe(0);
  });

  it('closes those that stay in waves, with the code that says reconnect', async () => {
    await using redis = await startRedis();
    await using node = await startNode({
      redisUrl: redis.url,
      env: { FANFARE_DRAIN_WINDOW_MS: '50', FANFARE_DRAIN_WAVES: '4', FANFARE_DRAIN_WAVE_INTERVAL_MS: '100' },
    });
    const clients = await connect(node.url, 40);
    const stopped = node.stop();
    for (const client of clients) expect(await within('it is closed', client.closed)).toEqual(closeReasons.draining);
    expect(await stopped).toBe(0);
    // Of four waves, so that not all come back at once.
    const waves = node.logs().filter((line) => line.includes('"drainWave"'));
    expect(waves.map((line) => (JSON.parse(line) as { closed: number }).closed)).toEqual([10, 10, 10, 10]);
  });

  it('closes all at once when it is asked at a terminal (SIGINT)', async () => {
    await using redis = await startRedis();
    await using node = await startNode({ redisUrl: redis.url });
    const clients = await connect(node.url, 5);
    process.kill(node.pid, 'SIGINT');
    for (const client of clients) expect(await within('it is closed', client.closed)).toEqual(closeReasons.draining);
    expect(await node.exited).toBe(0);
    expect(clients.some(({ inbox }) => inbox.waiting.some(({ type }) => type === 'goaway'))).toBe(false);
  });

  it('counts and logs what it does', async () => {
    await using redis = await startRedis();
    await using node = await startNode({ redisUrl: redis.url, env: { FANFARE_DRAIN_WINDOW_MS: '60000' } });
    const clients = await connect(node.url, 3);
    const stopped = node.stop();
    await until('they are invited', async () =>
      (await (await fetch(`${node.adminUrl}/metrics`)).text()).includes('fanfare_connections_invited_total 3'),
    );
    expect(node.logs().some((line) => line.includes('asking 3 connections to move within 60000 ms'))).toBe(true);
    for (const client of clients) await client.close();
    expect(await stopped).toBe(0);
  });
});
