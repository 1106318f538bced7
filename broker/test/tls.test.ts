/** TLS and compression, through real sockets. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { ConfigError, loadConfig } from '../src/index.js';
import { startCluster, startNode } from './harness.js';
import { until, within } from './wait.js';

let folder: string;
const inFolder = (name: string): string => join(folder, name);

async function createCertificate(name: string, days: number): Promise<void> {
  const files = ['-keyout', inFolder(`${name}.key`), '-out', inFolder(`${name}.crt`)];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', String(days)];
  await promisify(execFile)('openssl', ['req', '-x509', ...kind, ...subject, ...files]);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fanfare-tls-'));
  await Promise.all([createCertificate('good', 365), createCertificate('other', 365), createCertificate('short', 3)]);
  await writeFile(inFolder('text'), 'no PEM');
});
afterAll(() => rm(folder, { recursive: true }));

function tlsEnv(cert: string, key = cert): Record<string, string> {
  return { FANFARE_TLS_CERT_FILE: inFolder(`${cert}.crt`), FANFARE_TLS_KEY_FILE: inFolder(`${key}.key`) };
}

describe('a node with a certificate', () => {
  it('serves over TLS, and nobody without it', async () => {
    await using cluster = await startCluster({ env: tlsEnv('good') });
    const { port } = cluster.node().broker;
    expect(JSON.stringify(cluster.node().log)).toContain(`listens on wss://127.0.0.1:${port}/ws`);
    const socket = new WebSocket(`wss://127.0.0.1:${port}/ws`, { rejectUnauthorized: false });
    await within('it opens', once(socket, 'open'));
    socket.send('{"type":"ping","id":1}');
    const [message] = await within('it answers', once(socket, 'message'));
    expect(JSON.parse(String(message))).toEqual({ type: 'pong', id: 1 });
    socket.terminate();
    const plain = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await within('a plain one fails', once(plain, 'error'));
  });

  it.each([
    ['TLSv1.2', true],
    ['TLSv1.3', true],
    ['TLSv1.1', false],
    ['TLSv1', false],
  ] as const)('%s: %s', async (version, isTaken) => {
    await using cluster = await startCluster({ env: tlsEnv('good') });
    const socket: TLSSocket = connect({
      port: cluster.node().broker.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      minVersion: version,
      maxVersion: version,
      // OpenSSL 3 offers the old versions at this level only.
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    const outcome = await within(
      'the handshake ends',
      new Promise((resolve) => {
        socket.on('secureConnect', () => resolve(true)).on('error', () => resolve(false));
      }),
    );
    expect(outcome).toBe(isTaken);
    socket.destroy();
  });

  it('warns where it is not good for long', async () => {
    const node = await startNode(tlsEnv('short'));
    await node.broker.drain({ atOnce: true });
    expect(JSON.stringify(node.log)).toContain('certificateExpires');
  });
});

describe('what is wrong with the files', () => {
  it.each([
    ['one of two', () => ({ FANFARE_TLS_CERT_FILE: inFolder('good.crt') }), 'belong together: set both, or neither.'],
    ['a file that is not there', () => tlsEnv('none'), 'none.crt", which cannot be read: ENOENT.'],
    [
      'no certificate',
      () => ({ ...tlsEnv('good'), FANFARE_TLS_CERT_FILE: inFolder('text') }),
      'which does not hold a certificate in PEM.',
    ],
    [
      'no key',
      () => ({ ...tlsEnv('good'), FANFARE_TLS_KEY_FILE: inFolder('text') }),
      'which does not hold a private key in PEM without a password.',
    ],
    ['the key of another', () => tlsEnv('good', 'other'), 'is not that of the first certificate'],
  ])('is said: %s', (_, env, sentence) => {
    expect(() => loadConfig(env())).toThrow(ConfigError);
    expect(() => loadConfig(env())).toThrow(sentence);
  });
});

describe('compression', () => {
  const text = JSON.stringify({ type: 'publish', id: 1, topic: 't', data: 'a'.repeat(10_000) });

  it('is not had unless it is set', async () => {
    await using cluster = await startCluster();
    const socket = new WebSocket(cluster.node().url, { perMessageDeflate: true });
    await once(socket, 'open');
    expect(socket.extensions).toBe('');
    socket.terminate();
  });

  it('is had by those who offer it, beside those who do not', async () => {
    await using cluster = await startCluster({ env: { FANFARE_COMPRESSION: 'shared' } });
    const plain = await cluster.subscriber('t', 0, 'json');
    const socket = new WebSocket(cluster.node().url, { perMessageDeflate: { threshold: 0 } });
    await once(socket, 'open');
    expect(socket.extensions).toContain('permessage-deflate');
    socket.send('{"type":"subscribe","id":7,"topic":"t"}');
    await within('it is subscribed', once(socket, 'message'));
    socket.send(text);
    const messages: unknown[] = [];
    socket.on('message', (data) => messages.push(JSON.parse(String(data))));
    await until('it has its own publication', () => messages.length >= 2);
    expect(messages).toContainEqual({
      type: 'publications',
      topic: 't',
      ...anyPosition,
      items: [{ data: 'a'.repeat(10_000) }],
    });
    expect(await plain.take('t', 1)).toEqual(['a'.repeat(10_000)]);
    // Of its TCP connection, whose head is about 200 bytes.
    expect((socket as unknown as { _socket: { bytesRead: number } })._socket.bytesRead).toBeLessThan(1_000);
    socket.terminate();
  });

  it('does not help a bomb: what would be longer than twice the longest frame is cut off', async () => {
    await using cluster = await startCluster({ env: { FANFARE_COMPRESSION: 'shared' } });
    const socket = new WebSocket(cluster.node().url, { perMessageDeflate: { threshold: 0 } });
    socket.on('error', () => undefined);
    await once(socket, 'open');
    expect(socket.extensions).toContain('permessage-deflate');
    const before = process.memoryUsage().rss;
    // 60 KiB on the wire, 60 MiB behind it.
    socket.send('a'.repeat(60 * 1_048_576));
    await within('it is cut off', once(socket, 'close'));
    expect(process.memoryUsage().rss - before).toBeLessThan(400 * 1_048_576);
    const next = await cluster.connect();
    await next.settle();
  });
});

const anyPosition = { epoch: expect.any(String), offset: expect.any(Number) };
