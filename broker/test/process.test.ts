/** The node as a process: what it prints, how it stops. It runs what `npm run build` wrote. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { startNode, startRedis } from '@fanfare/local-cluster';
import { closeReasons } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { run } from './run.js';
import { TestConnection } from './test-connection.js';
import { until, within } from './wait.js';

describe('the command', () => {
  it('prints every setting for --help', async () => {
    const { code, out } = await run(['--help']);
    expect(code).toBe(0);
    expect(out).toContain('Usage: fanfare [--help]');
    expect(out).toContain('FANFARE_REDIS_URL');
  });

  it('says in one sentence what is wrong with a flag, and ends with code 2', async () => {
    const { code, err } = await run(['--prot', '80']);
    expect(code).toBe(2);
    expect(err.trim().split('\n').length).toBe(1);
    expect(err).toContain("Unknown option '--prot'");
  });

  it('says what is wrong with each setting, and ends with code 2', async () => {
    const { code, out, err } = await run([], { FANFARE_PORT: 'x', FANFARE_PROT: '1' });
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err.trim().split('\n')).toEqual([
      'fanfare: FANFARE_PORT must be an integer from 0 to 65535, not "x".',
      'fanfare: FANFARE_PROT is no setting; did you mean FANFARE_PORT?',
    ]);
  });

  it('says which port is taken instead of sharing it', async () => {
    await using node = await startNode({});
    const port = new URL(node.url).port;
    const { code, err } = await run([], { FANFARE_PORT: port, FANFARE_ADMIN_PORT: '0' });
    expect(code).toBe(2);
    expect(err).toContain(`Cannot listen on 127.0.0.1:${port}: the port is in use`);
    const adminPort = new URL(node.adminUrl).port;
    const second = await run([], { FANFARE_PORT: '0', FANFARE_ADMIN_PORT: adminPort });
    expect(second.code).toBe(2);
    expect(second.err).toContain('Set FANFARE_ADMIN_PORT.');
  });
});

describe('a node that listens on more than loopback', () => {
  it('says in the log where the system gives it less than its settings ask for', async () => {
    const env = { FANFARE_MAX_CONNECTIONS: '10000000', FANFARE_AUTH: 'none' };
    await using node = await startNode({ env: { ...env, FANFARE_HOST: '0.0.0.0' } });
    const told = node.logs().filter((line) => line.includes('"systemLimit"'));
    expect(told.map((line) => JSON.parse(line))).toContainEqual(
      expect.objectContaining({
        level: 40,
        limit: 'nofile',
        wanted: 10_000_000,
        msg: expect.stringContaining('ulimit'),
      }),
    );
    await using local = await startNode({ env });
    expect(local.logs().filter((line) => line.includes('"systemLimit"'))).toEqual([]);
  });
});

const noWindow = { FANFARE_DRAIN_WINDOW_MS: '0' };

describe('a node that gets SIGTERM and has no window to drain in', () => {
  it('closes every connection with the code that says reconnect, and ends with code 0', async () => {
    await using redis = await startRedis();
    await using node = await startNode({ redisUrl: redis.url, env: noWindow });
    const clients = await Promise.all(Array.from({ length: 50 }, () => TestConnection.open(node.url)));
    const stopped = node.stop();
    for (const client of clients) expect(await within('it is closed', client.closed)).toEqual(closeReasons.draining);
    expect(await stopped).toBe(0);
  });

  it('tells publishers first what became of what it had taken in', async () => {
    await using redis = await startRedis();
    await using node = await startNode({ redisUrl: redis.url, env: { FANFARE_REDIS_TIMEOUT_MS: '5000', ...noWindow } });
    await using writer = await TestConnection.open(node.url);
    await redis.pause();
    const outcome = writer.publish('t', 'on the link');
    await until('it is on the link', async () => {
      const metrics = await (await fetch(`${node.adminUrl}/metrics`)).text();
      return /^fanfare_publications_in_total 1$/m.test(metrics);
    });
    const stopped = node.stop();
    await until('it drains', async () => (await fetch(`${node.adminUrl}/readyz`)).status === 503);
    await redis.resume();
    expect(await outcome).toMatchObject({ type: 'published' });
    expect(await within('it is closed', writer.closed)).toEqual(closeReasons.draining);
    expect(await stopped).toBe(0);
  });

  it('answers a handshake that comes late with 503 and when to come again', async () => {
    await using redis = await startRedis();
    await using node = await startNode({ redisUrl: redis.url, env: { FANFARE_REDIS_TIMEOUT_MS: '5000', ...noWindow } });
    await using writer = await TestConnection.open(node.url);
    const late = connect(Number(new URL(node.url).port), '127.0.0.1');
    let answer = '';
    late.on('data', (data) => {
      answer += data;
    });
    await once(late, 'connect');
    // Draining lasts for as long as Redis does not answer.
    await redis.pause();
    void writer.publish('t', 'on the link').catch(() => undefined);
    await writer.settle();
    const stopped = node.stop();
    await until('it drains', async () => (await fetch(`${node.adminUrl}/readyz`)).status === 503);
    late.write(
      'GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
    );
    await until('it is answered', () => answer.includes('\r\n\r\n'));
    expect(answer).toContain('503 Service Unavailable');
    expect(answer).toContain('Retry-After: 1');
    await redis.resume();
    expect(await stopped).toBe(0);
    late.destroy();
  });

  it('delivers what it had accepted first', async () => {
    await using redis = await startRedis();
    await using node = await startNode({ redisUrl: redis.url, env: noWindow });
    await using other = await startNode({ redisUrl: redis.url, env: noWindow });
    await using reader = await TestConnection.open(other.url);
    await reader.subscribe('t');
    await using writer = await TestConnection.open(node.url);
    writer.post('t', ...Array.from({ length: 200 }, (_, index) => index));
    await writer.settle();
    expect(await node.stop()).toBe(0);
    expect(await reader.take('t', 200)).toEqual(Array.from({ length: 200 }, (_, index) => index));
  });

  it('does not wait longer than its drain timeout for a client that does not answer', async () => {
    await using node = await startNode({ env: { FANFARE_DRAIN_TIMEOUT_MS: '200' } });
    await using client = await TestConnection.open(node.url);
    client.socket.pause();
    expect(await node.stop()).toBe(0);
  });

  it('is not ready any more and lets nobody in, while it drains', async () => {
    await using node = await startNode({ env: { FANFARE_DRAIN_TIMEOUT_MS: '3000' } });
    await using client = await TestConnection.open(node.url);
    await client.subscribe('t');
    client.socket.pause();
    // More than the kernel buffers: the close frame cannot be sent, so that draining lasts.
    await using writer = await TestConnection.open(node.url);
    for (let frame = 0; frame < 200; frame++) writer.post('t', 'x'.repeat(60_000));
    await writer.settle();
    const stopped = node.stop();
    const status = await until('readiness fails', async () => {
      const response = await fetch(`${node.adminUrl}/readyz`).catch(() => null);
      return response === null || response.status === 503 ? (response?.status ?? 'gone') : false;
    });
    expect(status).toBe(503);
    await expect(TestConnection.open(node.url)).rejects.toThrow();
    client.socket.resume();
    expect(await stopped).toBe(0);
  });
});
