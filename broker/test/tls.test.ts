/**
 * `wss://`: accepted clients, the effects of a renewed certificate, and a proxy that terminates TLS in front of a node.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls, type SecureVersion, TLSSocket } from 'node:tls';
import { Child, findFreePort, startNode as startProcess, startRedis } from '@fanfare/local-cluster';
import { closeReasons, type Encoding } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { explainValidity, readCertificate } from '../src/connection/certificate.js';
import { CertificateFolder } from './certificates.js';
import { startCluster, startNode, type TestNode } from './harness.js';
import { run } from './run.js';
import { TestConnection } from './test-connection.js';
import { until, within } from './wait.js';
import { wrong } from './wrong.js';

function startSecure(folder: CertificateFolder, env: Readonly<Record<string, string>> = {}): Promise<TestNode> {
  return startNode({ ...folder.env, ...env });
}

/** Trusts only the issuer of the current certificate in the folder. */
function open(url: string, folder: CertificateFolder, encoding: Encoding = 'msgpack'): Promise<TestConnection> {
  return TestConnection.open(url, encoding, { ca: folder.ca });
}

function certificateOf({ socket }: TestConnection): string {
  const stream = (socket as unknown as { _socket: unknown })._socket;
  if (!(stream instanceof TLSSocket)) throw new Error('This connection has no TLS.');
  return String(stream.getPeerCertificate().subject.CN);
}

/**
 * The name of the certificate that a new client receives. A client that names a host sends the name (SNI); one that
 * dials an address does not.
 */
async function shown(port: number, servername?: string): Promise<string> {
  const socket = connectTls({
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    ...(servername === undefined ? {} : { servername }),
  });
  try {
    await within('the TLS handshake ends', once(socket, 'secureConnect'));
    return String(socket.getPeerCertificate().subject.CN);
  } finally {
    socket.destroy();
  }
}

/** During the exchange, a connection that the node has not accepted yet is refused or reset. */
function shownOrRefused(port: number): Promise<string | null> {
  return shown(port).catch(() => null);
}

/** The result of a handshake: the protocol, or the error. */
function shakeHands(port: number, version: SecureVersion, cipherSuites: string): Promise<string> {
  const options = { port, host: '127.0.0.1', rejectUnauthorized: false, ciphers: cipherSuites };
  return within(
    'the handshake ends',
    new Promise((resolve) => {
      const socket = connectTls({ ...options, minVersion: version, maxVersion: version }, () => {
        resolve(String(socket.getProtocol()));
        socket.destroy();
      });
      socket.once('error', ({ message }) => resolve(message));
    }),
  );
}

// Concurrent: they wait until nodes check their files, or close sockets.
describe.concurrent('a node with a certificate', () => {
  it.each(['msgpack', 'json'] as const)('speaks %s over wss', async (encoding) => {
    using folder = new CertificateFolder('first');
    await using node = await startSecure(folder);
    expect(node.url).toMatch(/^wss:/);
    await using reader = await open(node.url, folder, encoding);
    await using writer = await open(node.url, folder, encoding);
    await reader.subscribe('t');
    const sent = Array.from({ length: 50 }, (_, index) => `${index} ${'x'.repeat(10_000)}`);
    for (const data of sent) expect(await writer.publish('t', data)).toMatchObject({ type: 'published' });
    expect(await reader.take('t', sent.length)).toEqual(sent);
    expect(node.log.find(({ event }) => event === 'listening')?.msg).toContain(node.url);
  });

  it('refuses clients without TLS, and clients that do not trust its certificate refuse it', async () => {
    using folder = new CertificateFolder('first');
    await using node = await startSecure(folder);
    await expect(TestConnection.open(node.url.replace('wss:', 'ws:'))).rejects.toThrow('socket hang up');
    await expect(TestConnection.open(node.url)).rejects.toThrow('self-signed certificate');
    await using client = await open(node.url, folder);
    await client.settle();
  });

  const versions = [
    { version: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256', outcome: 'TLSv1.3' },
    { version: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256', outcome: 'TLSv1.2' },
    // A client that permits everything that is forbidden elsewhere (SECLEVEL=0): the node refuses.
    { version: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0', outcome: /alert protocol version/ },
    { version: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0', outcome: /alert protocol version/ },
    { version: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA:AES128-SHA', outcome: /alert handshake failure/ },
  ] as const;
  it('speaks TLS 1.2 and 1.3, and refuses older versions and weak ciphers', async () => {
    using folder = new CertificateFolder('first');
    await using node = await startSecure(folder);
    for (const { version, ciphers, outcome } of versions) {
      const came = await shakeHands(node.broker.port, version, ciphers);
      expect(came, version).toEqual(typeof outcome === 'string' ? outcome : expect.stringMatching(outcome));
    }
  });

  it('closes a subscriber that does not read, even with compression, and others receive everything', async () => {
    using folder = new CertificateFolder('first');
    const limits = { FANFARE_MAX_BUFFERED_BYTES: '65536', FANFARE_COMPRESSION: 'shared' };
    await using node = await startSecure(folder, limits);
    await using slow = await open(node.url, folder);
    await using reader = await open(node.url, folder);
    await using writer = await open(node.url, folder, 'json');
    for (const subscriber of [slow, reader]) await subscriber.subscribe('t');
    slow.socket.pause();
    await until('the connection is closed', async () => {
      // Random: compression hardly makes it smaller.
      await writer.publish('t', randomBytes(40_000).toString('base64'));
      // Also on a busy machine, it reads.
      await reader.take('t', 1);
      return (await node.metric('fanfare_slow_subscribers_total')) > 0;
    });
    slow.socket.resume();
    expect(await within('the connection is closed', slow.closed)).toEqual(closeReasons.slowSubscriber);
  });

  it('warns at startup if it expires soon, and when', async () => {
    using folder = new CertificateFolder('first', 3);
    await using node = await startSecure(folder);
    const warning = node.log.find(({ event }) => event === 'certificateExpires');
    expect(warning?.msg).toMatch(/\(DNS:localhost, IP Address:127\.0\.0\.1\) expires at 20/);
    const threeDays = Date.now() / 1_000 + 3 * 86_400;
    expect(Math.abs((await node.metric('fanfare_certificate_expiry_seconds')) - threeDays)).toBeLessThan(60);
  });
});

describe.concurrent('a renewed certificate', () => {
  it('is sent to new connections, by name and by address, while earlier connections stay open and receive the others', async () => {
    using folder = new CertificateFolder('first');
    await using node = await startSecure(folder);
    const { port } = node.broker;
    await using early = await open(node.url, folder);
    await early.subscribe('t');
    folder.renew('second');
    await until('new clients get it', async () => (await shownOrRefused(port)) === 'second');
    expect(await shown(port, 'localhost')).toBe('second');
    await using late = await open(node.url, folder);
    await late.subscribe('t');
    expect([certificateOf(early), certificateOf(late)]).toEqual(['first', 'second']);
    await late.publish('t', 'from late');
    await early.publish('t', 'from early');
    for (const reader of [early, late]) expect(await reader.take('t', 2)).toEqual(['from late', 'from early']);

    folder.renew('third');
    await until('new clients get the third', async () => (await shownOrRefused(port)) === 'third');
    await late.close();
    await using last = await open(node.url, folder);
    await last.publish('t', 'from last');
    expect(await early.take('t', 1)).toEqual(['from last']);
    expect(await node.metric('fanfare_connections')).toBe(2);
    expect(node.log.filter(({ event }) => event === 'certificateRenewed').length).toBe(2);
    await expect(startNode({ FANFARE_PORT: String(port) })).rejects.toThrow('the port is in use');

    const drained = node.broker.drain();
    for (const client of [early, last]) {
      expect(await within('the connection is closed', client.closed)).toEqual(closeReasons.draining);
    }
    await drained;
    await expect(shown(port)).rejects.toThrow('ECONNREFUSED');
  });

  it('is not used while it is invalid', async () => {
    using folder = new CertificateFolder('first');
    await using node = await startSecure(folder);
    const { port } = node.broker;
    const firstKey = readFileSync(folder.keyFile);
    folder.renew('second');
    const secondKey = readFileSync(folder.keyFile);
    writeFileSync(folder.keyFile, firstKey);
    const refused = await until('the node logs it', () =>
      node.log.find(({ event }) => event === 'certificateNotRenewed'),
    );
    expect(refused.msg).toContain('does not belong to the first certificate in FANFARE_TLS_CERT_FILE');
    expect(await shown(port)).toBe('first');
    writeFileSync(folder.keyFile, secondKey);
    await until('new clients get it', async () => (await shownOrRefused(port)) === 'second');
    // The check of the node does not find this mistake: only the TLS library reads the rest of the chain.
    writeFileSync(folder.certFile, `${readFileSync(folder.certFile)}-----BEGIN CERTIFICATE-----\n!\n`);
    await until('the node logs it again', () =>
      node.log.some(({ msg }) => msg.includes('The TLS library rejects the certificate')),
    );
    expect(await shown(port)).toBe('second');
  });

  it('is used by all workers, and their connections stay open', async () => {
    using folder = new CertificateFolder('first');
    await using redis = await startRedis();
    await using node = await startProcess({
      redisUrl: redis.url,
      env: { FANFARE_WORKERS: '2', FANFARE_NODE_NAME: 'm', FANFARE_DRAIN_WINDOW_MS: '0', ...folder.env },
    });
    expect(node.logs().some((line) => line.includes(`2 workers of m listen on ${node.url}`))).toBe(true);
    const early = await Promise.all(Array.from({ length: 20 }, () => open(node.url, folder)));
    for (const client of early) await client.subscribe('t');
    folder.renew('second');
    await until(
      'both workers have renewed it',
      () => node.logs().filter((line) => line.includes('"certificateRenewed"')).length === 2,
    );
    const late = await Promise.all(Array.from({ length: 20 }, () => open(node.url, folder)));
    expect(new Set(late.map(certificateOf))).toEqual(new Set(['second']));
    await late[0]?.publish('t', 'hello');
    for (const client of early) expect(await client.take('t', 1)).toEqual(['hello']);
    const stopped = node.stop();
    for (const client of [...early, ...late]) {
      expect(await within('the connection is closed', client.closed)).toEqual(closeReasons.draining);
    }
    expect(await stopped).toBe(0);
  });
});

describe.concurrent('the settings of TLS', () => {
  it('are valid only together', () => {
    using folder = new CertificateFolder('first');
    const { FANFARE_TLS_CERT_FILE, FANFARE_TLS_KEY_FILE } = folder.env;
    expect(wrong({})).toEqual([]);
    expect(wrong(folder.env)).toEqual([]);
    expect(wrong({ FANFARE_TLS_CERT_FILE })).toEqual([
      'FANFARE_TLS_CERT_FILE is set and FANFARE_TLS_KEY_FILE is not: TLS needs both.',
    ]);
    expect(wrong({ FANFARE_TLS_KEY_FILE })).toEqual([
      'FANFARE_TLS_KEY_FILE is set and FANFARE_TLS_CERT_FILE is not: TLS needs both.',
    ]);
  });

  it('must name readable PEM files; each mistake causes a sentence', () => {
    using folder = new CertificateFolder('first');
    const text = folder.write('text.pem', 'What?\n');
    const absent = '/nowhere/key.pem';
    expect(wrong({ FANFARE_TLS_CERT_FILE: text, FANFARE_TLS_KEY_FILE: absent })).toEqual([
      'FANFARE_TLS_CERT_FILE names a file that contains no certificate: it is not PEM.',
      'FANFARE_TLS_KEY_FILE names a file that cannot be read: there is no file at this path (ENOENT).',
    ]);
    const exchanged = wrong({ FANFARE_TLS_CERT_FILE: folder.keyFile, FANFARE_TLS_KEY_FILE: folder.certFile });
    expect(exchanged).toEqual([
      expect.stringContaining('FANFARE_TLS_CERT_FILE names a file that contains no certificate'),
      expect.stringContaining('FANFARE_TLS_KEY_FILE names a file that contains no private key'),
    ]);
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const locked = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' });
    const sentences = wrong({ ...folder.env, FANFARE_TLS_KEY_FILE: folder.write('locked.pem', locked) });
    expect(sentences).toEqual([expect.stringContaining('no private key: it is encrypted with a passphrase')]);
  });

  it('must name a key that belongs to the certificate', async () => {
    using folder = new CertificateFolder('first');
    using other = new CertificateFolder('second');
    const { code, err } = await run([], { ...folder.env, FANFARE_TLS_KEY_FILE: other.keyFile });
    expect(code).toBe(2);
    expect(err).toBe(
      "fanfare: The key in FANFARE_TLS_KEY_FILE does not belong to the first certificate in FANFARE_TLS_CERT_FILE, which belongs to CN=first. Use the key of that certificate, or put the node's own certificate first.\n",
    );
  });

  it('cause warnings while clients would refuse the certificate, and for 14 days before', () => {
    using folder = new CertificateFolder('first');
    const certificate = readCertificate(folder);
    const at = (ms: number): string | null => explainValidity(certificate, ms);
    const day = 86_400_000;
    expect(at(certificate.notAfterMs + 1)).toMatch(/expired at 20.*\. Clients reject it\. Renew it\.$/);
    expect(at(certificate.notBeforeMs - 1)).toMatch(/is not valid before 20.*\. Clients reject it\.$/);
    expect(at(certificate.notAfterMs - 13 * day)).toMatch(/ expires at 20/);
    expect(at(certificate.notAfterMs - 15 * day)).toBe(null);
  });
});

const haproxy = (process.env['PATH'] ?? '')
  .split(':')
  .concat('/usr/sbin')
  .map((folder) => join(folder, 'haproxy'))
  .find(existsSync);

// A machine without HAProxy skips only this; .ci/run installs it.
describe.concurrent('a node behind a proxy that terminates TLS', () => {
  it.skipIf(haproxy === undefined)(
    'serves wss clients of both encodings without a certificate, and drains them',
    async () => {
      using folder = new CertificateFolder('proxy');
      await using cluster = await startCluster();
      const { broker } = cluster.node();
      const port = await findFreePort();
      const pem = folder.write('proxy.pem', Buffer.concat([folder.ca, readFileSync(folder.keyFile)]));
      const config = folder.write(
        'haproxy.cfg',
        `defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
  timeout tunnel 1h
frontend wss
  bind 127.0.0.1:${port} ssl crt ${pem} ssl-min-ver TLSv1.2
  option forwardfor
  default_backend nodes
backend nodes
  server node 127.0.0.1:${broker.port}
`,
      );
      await using proxy = new Child({ command: [haproxy ?? '', '-db', '-f', config] });
      const url = `wss://127.0.0.1:${port}/ws`;
      const reader = await until('the proxy listens', () =>
        proxy.hasExited
          ? Promise.reject(new Error(proxy.explain('HAProxy ended.')))
          : open(url, folder).catch(() => null),
      );
      await using writer = await open(url, folder, 'json');
      await reader.subscribe('t');
      const sent = Array.from({ length: 50 }, (_, index) => `${index} ${'x'.repeat(10_000)}`);
      for (const data of sent) expect(await writer.publish('t', data)).toMatchObject({ type: 'published' });
      expect(await reader.take('t', sent.length)).toEqual(sent);
      const drained = broker.drain();
      for (const client of [reader, writer]) {
        expect(await within('the connection is closed', client.closed)).toEqual(closeReasons.draining);
      }
      await within('the node has drained', drained);
      await expect(open(url, folder)).rejects.toThrow('503');
    },
  );
});
