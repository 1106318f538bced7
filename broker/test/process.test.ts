/** The node as a process: its output, and how it stops. It runs the result of `npm run build`. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startNode as startProcess, startRedis } from '@fanfare/local-cluster';
import { closeReasons } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { startCluster, startNode } from './harness.js';
import { run } from './run.js';
import { TestConnection } from './test-connection.js';
import { until, within } from './wait.js';

describe('the command', () => {
  it('prints every setting for --help', async () => {
    const { code, out } = await run(['--help']);
    expect(code).toBe(0);
    expect(out).toContain('Usage: fanfare node [--help]');
    expect(out).toContain('FANFARE_REDIS_URL');
  });

  it('prints one sentence about an unknown flag, and exits with code 2', async () => {
    const { code, err } = await run(['--prot', '80']);
    expect(code).toBe(2);
    expect(err.trim().split('\n').length).toBe(1);
    expect(err).toBe('fanfare: Unknown option. The only option is --help.\n');
  });

  it('prints a sentence about each invalid setting, and exits with code 2', async () => {
    const { code, out, err } = await run([], { FANFARE_PORT: 'x', FANFARE_PROT: '1' });
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err.trim().split('\n')).toEqual([
      'fanfare: FANFARE_PORT must be an integer from 0 to 65535.',
      'fanfare: FANFARE_PROT is not a setting; did you mean FANFARE_PORT?',
    ]);
  });

  it('prints which port is in use instead of sharing it', async () => {
    await using cluster = await startCluster();
    const { port, adminPort } = cluster.node().broker;
    const { code, err } = await run([], { FANFARE_PORT: String(port), FANFARE_ADMIN_PORT: '0' });
    expect(code).toBe(2);
    expect(err).toContain(`Cannot listen on port ${port} of the address in FANFARE_HOST: the port is in use`);
    await expect(startNode({ FANFARE_ADMIN_PORT: String(adminPort) })).rejects.toThrow(
      'Change FANFARE_ADMIN_PORT or FANFARE_ADMIN_HOST.',
    );
  });
});

describe('a node that listens on more than loopback', () => {
  it('logs which system limits are too small for its settings', async () => {
    const env = { FANFARE_MAX_CONNECTIONS: '10000000', FANFARE_AUTH: 'none' };
    await using node = await startProcess({ env: { ...env, FANFARE_HOST: '0.0.0.0' } });
    const warnings = node.logs().filter((line) => line.includes('"systemLimit"'));
    expect(warnings.map((line) => JSON.parse(line))).toContainEqual(
      expect.objectContaining({
        level: 40,
        limit: 'nofile',
        wanted: 10_000_000,
        msg: expect.stringContaining('ulimit'),
      }),
    );
    await using local = await startProcess({ env });
    expect(local.logs().filter((line) => line.includes('"systemLimit"'))).toEqual([]);
  });
});

describe('a node whose log nobody reads any more', () => {
  const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));

  it('continues to serve, and stops cleanly on request', async () => {
    const env = { PATH: process.env['PATH'], FANFARE_PORT: '0', FANFARE_ADMIN_PORT: '0', FANFARE_LOG_FORMAT: 'json' };
    const child = spawn(process.execPath, [main], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    try {
      const exited = once(child, 'exit');
      const [line] = await within('the node listens', once(child.stdout, 'data'));
      child.stdout.destroy();
      child.stderr.destroy();
      const { port } = JSON.parse(String(line)) as { port: number };
      await using client = await TestConnection.open(`ws://127.0.0.1:${port}/ws`);
      expect(await client.subscribe('t')).toMatchObject({ type: 'subscribed' });
      child.kill('SIGTERM');
      expect(await within('the connection is closed', client.closed)).toEqual(closeReasons.draining);
      expect(await within('the process ends', exited)).toEqual([0, null]);
    } finally {
      child.kill('SIGKILL');
    }
  });
});

// Concurrent from here on: they mostly wait for processes.
describe.concurrent('standard output', () => {
  const url = new URL('../dist/observe/standard-output.js', import.meta.url).href;

  /** A process that writes lines, and reports on its standard error when it is done. */
  function startWriter(code: string) {
    const script = `const { StandardOutput } = await import(${JSON.stringify(url)});
      const output = new StandardOutput((lines) => output.write(lines + ' dropped\\n'));
      ${code}`;
    return spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** 3 MB; a pipe holds 64 KB. */
  const fill = `for (let index = 0; index < 30_000; index++) output.write(String(index).padEnd(100, '.') + '\\n');`;

  it('drops lines beyond a megabyte while its reader is paused, and reports their number when the reader continues', async () => {
    const child = startWriter(`${fill} process.stdin.resume();`);
    try {
      let text = '';
      child.stdout.on('data', (data) => {
        text += data;
      });
      await until('the process reports the dropped lines', () => / dropped\n$/.test(text));
      const lines = text.trimEnd().split('\n');
      const dropped = Number(lines.pop()?.split(' ')[0]);
      expect(lines.map(Number.parseFloat)).toEqual(Array.from({ length: lines.length }, (_, index) => index));
      expect(dropped).toBe(30_000 - lines.length);
      expect(dropped).toBeGreaterThan(10_000);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('counts the lines that were lost while it had no reader, and reports their number to the next reader', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fanfare-output-'));
    const fifo = join(folder, 'output');
    execFileSync('mkfifo', [fifo]);
    const script = `const { StandardOutput } = await import(${JSON.stringify(url)});
      const output = new StandardOutput((lines) => output.write(lines + ' dropped\\n'));
      let number = 0;
      process.stdin.on('data', () => { for (let line = 0; line < 3; line++) output.write(number++ + '\\n'); process.stderr.write('.'); });`;
    const readers: ChildProcess[] = [];
    let text = '';
    const read = (): ChildProcess => {
      const reader = spawn('cat', [fifo], { stdio: ['ignore', 'pipe', 'ignore'] });
      reader.stdout.on('data', (data) => {
        text += data;
      });
      readers.push(reader);
      return reader;
    };
    const first = read();
    // Resolves when the reader has opened it too.
    const file = await open(fifo, 'w');
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', file.fd, 'pipe'] });
    const { stdin, stderr } = child;
    if (stdin === null || stderr === null) throw new Error('The process has no pipes.');
    await file.close();
    const write = async (): Promise<void> => {
      const isWritten = once(stderr, 'data');
      stdin.write('.');
      await within('lines were written', isWritten);
    };
    try {
      await write();
      await until('the first lines are read', () => text === '0\n1\n2\n');
      first.kill('SIGKILL');
      await within('the reader is gone', once(first, 'exit'));
      for (let round = 0; round < 3; round++) await write();
      read();
      await until('the process reports the lost lines', () => {
        stdin.write('.');
        return / dropped\n/.test(text);
      });
      const lines = text.slice(0, text.indexOf(' dropped')).split('\n');
      const dropped = Number(lines.pop());
      // The last lines may be on their way when the next reader comes.
      expect(dropped).toBeGreaterThan(0);
      // Every line before the report was either read or counted.
      expect(lines.length + dropped).toBe(Number(lines.at(-1)) + 1);
    } finally {
      for (const each of [child, ...readers]) each.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('does not prevent the end of a process whose reader is paused', async () => {
    const child = startWriter(`${fill} setTimeout(() => process.exit(3), 50);`);
    expect(await within('the process ends', once(child, 'exit'))).toEqual([3, null]);
  });

  it('does not prevent the end of a process whose reader is gone', async () => {
    const child = startWriter(`process.stdin.once('end', () => { ${fill} process.exit(3); }).resume();`);
    child.stdout.destroy();
    child.stdin.end();
    try {
      expect(await within('the process ends', once(child, 'exit'))).toEqual([3, null]);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('delivers the last lines to its reader before the process ends', async () => {
    const child = startWriter(`for (let index = 0; index < 3; index++) output.write(index + '\\n'); process.exit(0);`);
    let text = '';
    child.stdout.on('data', (data) => {
      text += data;
    });
    await within('the process ends', once(child, 'close'));
    expect(text.split('\n').toSorted()).toEqual(['', '0', '1', '2']);
  });
});

const noWindow = { FANFARE_DRAIN_WINDOW_MS: '0' };

describe.concurrent('a node that gets two signals', () => {
  async function startWithClient(windowMs: string) {
    const redis = await startRedis();
    const node = await startProcess({ redisUrl: redis.url, env: { FANFARE_DRAIN_WINDOW_MS: windowMs } });
    const client = await TestConnection.open(node.url);
    await client.subscribe('t');
    return {
      ...{ node, client },
      async [Symbol.asyncDispose]() {
        await client[Symbol.asyncDispose]();
        await node[Symbol.asyncDispose]();
        await redis[Symbol.asyncDispose]();
      },
    };
  }

  it.each([
    ['SIGTERM', 'SIGHUP'],
    ['SIGHUP', 'SIGHUP'],
  ] as const)('at once (%s, %s) drains once, because a supervisor may send the signal too', async (first, second) => {
    await using parts = await startWithClient('300');
    const { node, client } = parts;
    process.kill(node.pid, first);
    process.kill(node.pid, second);
    expect(await within('the client is invited to move', client.next('goaway'))).toMatchObject({ type: 'goaway' });
    expect(await within('the connection is closed', client.closed)).toEqual(closeReasons.draining);
    expect(await node.exited).toBe(0);
  });

  it('seconds apart ends at once', async () => {
    await using parts = await startWithClient('60000');
    const { node, client } = parts;
    let hasExited = false;
    void node.exited.then(() => {
      hasExited = true;
    });
    process.kill(node.pid, 'SIGTERM');
    await client.next('goaway');
    await until('the process has ended', () => {
      if (!hasExited) process.kill(node.pid, 'SIGTERM');
      return hasExited;
    });
    expect(await node.exited).toBe(1);
  });
});

describe.concurrent('a node that gets SIGTERM and has no drain window', () => {
  it('delivers accepted publications, closes every connection with a code that makes clients reconnect, and exits with code 0', async () => {
    await using redis = await startRedis();
    await using node = await startProcess({ redisUrl: redis.url, env: noWindow });
    await using others = await startCluster({ redis });
    const reader = await others.subscriber('t');
    const clients = await Promise.all(Array.from({ length: 50 }, () => TestConnection.open(node.url)));
    const writer = clients[0] as TestConnection;
    writer.post('t', ...Array.from({ length: 200 }, (_, index) => index));
    await writer.settle();
    const stopped = node.stop();
    for (const client of clients)
      expect(await within('the connection is closed', client.closed)).toEqual(closeReasons.draining);
    expect(await stopped).toBe(0);
    expect(await reader.take('t', 200)).toEqual(Array.from({ length: 200 }, (_, index) => index));
  });
});

describe.concurrent('a node that drains without a window', () => {
  it('answers publishers before it closes their connections', async () => {
    await using cluster = await startCluster({ redis: true, env: { FANFARE_REDIS_TIMEOUT_MS: '5000' } });
    const node = cluster.node();
    const writer = await cluster.connect();
    await cluster.redis.pause();
    const outcome = writer.publish('t', 'on the link');
    await until(
      'the publication is on the link',
      async () => (await node.metric('fanfare_publications_in_total')) === 1,
    );
    const drained = node.broker.drain();
    await until('the node drains', async () => (await node.readiness()).status === 503);
    await cluster.redis.resume();
    expect(await outcome).toMatchObject({ type: 'published' });
    expect(await within('the connection is closed', writer.closed)).toEqual(closeReasons.draining);
    await within('the node has drained', drained);
  });

  it('answers a late handshake with status 503 and a time to retry', async () => {
    await using cluster = await startCluster({ redis: true, env: { FANFARE_REDIS_TIMEOUT_MS: '5000' } });
    const node = cluster.node();
    const writer = await cluster.connect();
    const late = connect(node.broker.port, '127.0.0.1');
    let answer = '';
    late.on('data', (data) => {
      answer += data;
    });
    await once(late, 'connect');
    // Draining lasts as long as Redis does not answer.
    await cluster.redis.pause();
    void writer.publish('t', 'on the link').catch(() => undefined);
    await writer.settle();
    const drained = node.broker.drain();
    await until('the node drains', async () => (await node.readiness()).status === 503);
    late.write(
      'GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
    );
    await until('the handshake is answered', () => answer.includes('\r\n\r\n'));
    expect(answer).toContain('503 Service Unavailable');
    expect(answer).toContain('Retry-After: 1');
    await cluster.redis.resume();
    await within('the node has drained', drained);
    late.destroy();
  });

  it('does not wait longer than its drain timeout for a client that does not answer', async () => {
    await using cluster = await startCluster({ env: { FANFARE_DRAIN_TIMEOUT_MS: '200' } });
    const client = await cluster.connect();
    client.socket.pause();
    await within('the node has drained', cluster.node().broker.drain());
    client.socket.resume();
  });

  it('is not ready any more and accepts no connections', async () => {
    await using cluster = await startCluster({ env: { FANFARE_DRAIN_TIMEOUT_MS: '60000' } });
    const node = cluster.node();
    const client = await cluster.connect();
    await client.subscribe('t');
    client.socket.pause();
    // More than the kernel buffers: the close frame cannot be sent, so draining lasts longer.
    const writer = await cluster.connect();
    for (let frame = 0; frame < 200; frame++) writer.post('t', 'x'.repeat(60_000));
    await writer.settle();
    const drained = node.broker.drain();
    await until('readiness fails', async () => (await node.readiness()).status === 503);
    await expect(TestConnection.open(node.url)).rejects.toThrow();
    client.socket.resume();
    await within('the node has drained', drained);
  });
});
