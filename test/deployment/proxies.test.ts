/**
 * The files in proxies/ with the real programs, all three in front of the same two nodes. Each node has its own
 * loopback address, so tests change only what an operator changes too: addresses and ports.
 */
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from '@fanfare/client';
import {
  type Child,
  FaultProxy,
  findFreePort,
  type NodeProcess,
  type RedisProcess,
  startNode,
  startRedis,
} from '@fanfare/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { CertificateFolder } from '../../broker/test/certificates.js';
import { until } from '../../broker/test/wait.js';
import { root } from './image.js';
import { missingPrograms } from './programs.js';
import { idleTimeoutSeconds, type ProxyName, proxiedHosts, proxies, startProxy } from './proxies.js';

/** Between two publications during a drain, and between two new clients. Without it, the tests would be load tests. */
const pauseMs = 20;

const missing = missingPrograms('redis-server', 'nginx', 'caddy', 'haproxy');

describe.skipIf(missing !== '')(`the configurations in proxies/${missing}`, () => {
  const certificate = new CertificateFolder('proxies');
  let folder: string;
  let redis: RedisProcess;
  /** Between the second node and Redis. */
  let link: FaultProxy;
  const nodes: NodeProcess[] = [];
  const children: Child[] = [];
  const urls = new Map<string, string>();

  const start = async (index: number): Promise<void> => {
    const previous = nodes[index];
    nodes[index] = await startNode({
      host: proxiedHosts[index] ?? '',
      port: previous?.port ?? nodes[0]?.port ?? (await findFreePort()),
      adminPort: previous?.adminPort ?? nodes[0]?.adminPort ?? (await findFreePort()),
      redisUrl: index === 1 ? `redis://${link.address}` : redis.url,
      env: {
        FANFARE_NODE_NAME: `node-${index}`,
        FANFARE_IDLE_TIMEOUT_SECONDS: '8',
        FANFARE_DRAIN_WINDOW_MS: '2000',
        FANFARE_REDIS_TIMEOUT_MS: '2000',
      },
    });
  };

  /**
   * Starts a program with its edited file, waits until a client gets an outcome that `isReady` accepts, and returns the
   * URL.
   */
  const startUrl = async (
    name: ProxyName,
    edit = (text: string): string => text,
    isReady = (outcome: string): boolean => outcome.startsWith('node-'),
    scheme = 'ws',
  ): Promise<string> => {
    const ports = { port: nodes[0]?.port ?? 0, adminPort: nodes[0]?.adminPort ?? 0 };
    const { port, child } = await startProxy(name, ports, folder, edit);
    children.push(child);
    const url = `${scheme}://127.0.0.1:${port}/ws`;
    await until(`${name} answers`, async () => {
      if (child.hasExited) throw new Error(child.explain(`${name} ended.`));
      return isReady(await newcomer(url));
    });
    return url;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fanfare-proxies-'));
    redis = await startRedis();
    link = await FaultProxy.start({ targetPort: redis.port });
    await start(0);
    await start(1);
    await Promise.all(
      (Object.keys(proxies) as ProxyName[]).map(async (name) => {
        urls.set(name, await startUrl(name));
      }),
    );
  });

  afterAll(async () => {
    for (const child of children) await child.kill();
    for (const node of nodes) await node.kill();
    await link?.[Symbol.asyncDispose]();
    await redis?.[Symbol.asyncDispose]();
    certificate[Symbol.dispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const says = (status: number) => (outcome: string) => outcome === `Unexpected server response: ${status}`;
  const without = (pattern: RegExp) => (text: string) => text.replace(pattern, '');

  /** Connects new clients through each proxy, one after the other, until it is stopped; returns the refusals. */
  const comeUntil = async (isOver: () => boolean): Promise<string[]> => {
    const refusals: string[] = [];
    await Promise.all(
      [...urls].map(async ([name, url]) => {
        while (!isOver()) {
          const outcome = await newcomer(url);
          // A client that was connected when the node stopped was not refused.
          if (!/^(node-|closed with )/.test(outcome)) refusals.push(`${name}: ${outcome}`);
          await delay(pauseMs);
        }
      }),
    );
    return refusals;
  };

  /** Waits until new clients through each of these proxies have reached the node. */
  const reach = (names: readonly string[], node: string): Promise<unknown> =>
    Promise.all(
      names.map((name) =>
        until(`a client reaches ${node} through ${name}`, async () => (await newcomer(urls.get(name) ?? '')) === node),
      ),
    );

  it('forward WebSockets of both encodings to both nodes', async () => {
    await reach([...urls.keys()], 'node-0');
    await reach([...urls.keys()], 'node-1');
    const clients = [...urls.values()].flatMap((url) => [createClient(url), createClient(url)]);
    try {
      const received = clients.map((): unknown[] => []);
      for (const [index, client] of clients.entries()) {
        await client.subscribe('greetings', ({ data }) => received[index]?.push(data)).ready;
      }
      for (const [index, client] of clients.entries()) await client.publish('greetings', index);
      const all = clients.map((_, index) => index);
      await expect.poll(() => received).toEqual(clients.map(() => all));
    } finally {
      await Promise.all(clients.map((client) => client.close()));
    }
  });

  // These change neither node.
  it.concurrent('forward only the paths that clients may use', async () => {
    for (const [name, url] of urls) {
      const bodyOf = async (path: string): Promise<string> => {
        const response = await fetch(new URL(path, url.replace('ws', 'http')), { method: 'POST' });
        return response.text();
      };
      // What only a node answers.
      const said = /WebSocket (?:endpoint|handshake)|"code":"(?:methodNotAllowed|unsupportedMediaType|invalidTopic)"/;
      for (const path of [
        '/ws',
        '/v1/tickets',
        '/v1/events',
        '/v1/publications',
        '/v1/commands',
        '/v1/openapi.json',
        '/v1/topics',
        '/v1/topics/a.b_C-1',
        '/v1/topics/a.b_C-1/publications',
      ])
        expect(await bodyOf(path), `${name} ${path}`).toMatch(said);
      for (const path of [
        '/v1/revocations',
        '/v1//revocations',
        '/v1/%72evocations',
        '/v1/tickets/../revocations',
        '/v1/topics/a/../../revocations',
        '/v1/topics/..%2frevocations',
        '/v1/topics/a/publications/b',
        '/',
      ])
        expect(await bodyOf(path), `${name} ${path}`).not.toMatch(said);
    }
  });

  it.concurrent('keep a WebSocket that is idle for longer than their timeout, because the node pings it', async () => {
    await Promise.all(
      [...urls].map(async ([name, url]) => {
        const socket = new WebSocket(url);
        let isClosed = false;
        socket.on('close', () => {
          isClosed = true;
        });
        const openedMs = performance.now();
        while (performance.now() - openedMs <= idleTimeoutSeconds * 1_000) await once(socket, 'ping');
        expect(isClosed, name).toBe(false);
        socket.send('{"type":"ping","id":1}');
        expect(String((await once(socket, 'message'))[0])).toContain('pong');
        socket.close();
      }),
    );
  });

  it.concurrent('work with TLS as their comments describe', async () => {
    const { certFile, keyFile } = certificate;
    const pem = certificate.write('both.pem', Buffer.concat([await readFile(certFile), await readFile(keyFile)]));
    const secure = (text: string): string =>
      text
        .replace(/^\s*(?:listen |bind :)80.*\n/gm, '')
        .replace(/^(\s*)# (?=listen|ssl_|bind)/gm, '$1')
        .replace(/^:80 \{/m, `https://127.0.0.1:443 {\n\ttls ${certFile} ${keyFile}`)
        .replace('/etc/ssl/fanfare.pem', certFile)
        .replace('/etc/ssl/fanfare.key', keyFile)
        .replace('/etc/ssl/fanfare-with-key.pem', pem);
    const isServed = (outcome: string): boolean => outcome.startsWith('node-');
    await Promise.all((['nginx', 'caddy', 'haproxy'] as const).map((name) => startUrl(name, secure, isServed, 'wss')));
  });

  it.concurrent('fail without some of their lines', async () => {
    // HTTP/1.0.
    await startUrl('nginx', without(/proxy_http_version.*/), says(505));
    const toClientPort = (text: string): string =>
      text.replace(' ver HTTP/1.1 hdr Host fanfare', '').replace('check port 8081', 'check');
    await startUrl('haproxy', toClientPort, says(503));
  });

  it('send no new client to a node that is not ready, if they check', async () => {
    const checking = Object.entries(proxies).flatMap(([name, { hasChecks }]) => (hasChecks ? [name] : []));
    link.blackhole();
    await Promise.all(
      checking.map((name) =>
        until(`${name} leaves the node out`, async () => {
          const reached = await several(urls.get(name) ?? '', 6);
          return reached.every((node) => node === 'node-0');
        }),
      ),
    );
    await link.heal();
    await reach(checking, 'node-1');
  });

  describe('while a node is down', () => {
    /** With the health checks from docs/proxies.md. */
    let checking: string[];
    /** Without health checks. */
    let bare: string;
    let isOver = false;
    let coming: Promise<string[]>;

    beforeAll(async () => {
      const page = await readFile(join(root, 'docs/proxies.md'), 'utf8');
      const block = (language: string): string => page.split(`\`\`\`${language}\n`)[1]?.split('```')[0] ?? '';
      checking = await Promise.all([
        startUrl('haproxy', (text) =>
          text
            .replace(/ {2}option httpchk\n.*\n.*\n/, block('haproxy'))
            .replace(/ {2}default-server check port .*\n/, ''),
        ),
        startUrl('caddy', (text) => text.replace(/\t\thealth_uri[\s\S]*?health_status.*\n/, block('caddy'))),
      ]);
      bare = await startUrl('caddy', () => ':80 {\n\treverse_proxy 10.0.0.11:8080 10.0.0.12:8080\n}\n');
      coming = comeUntil(() => isOver);
      await nodes[0]?.kill();
    });

    it('refuse no new client', async () => {
      await Promise.all([...urls.values()].map((url) => several(url, 20)));
    });

    it('use only the other node if they check the client port as docs/proxies.md describes', async () => {
      for (const url of checking) {
        await until('only the other node is used', async () =>
          (await several(url, 6)).every((node) => node === 'node-1'),
        );
      }
    });

    it('refuse a client if they do not check', () =>
      until('Caddy refuses a client', async () => says(502)(await newcomer(bare))));

    it('use the node again when it is back, and have refused no new client', async () => {
      await start(0);
      await reach([...urls.keys()], 'node-0');
      for (const url of checking) {
        await until('it is used again', async () => (await newcomer(url)) === 'node-0');
      }
      isOver = true;
      expect(await coming).toEqual([]);
    });
  });

  it('lose nothing when a node drains, and refuse no new client', async () => {
    const clients = [...urls.values()].flatMap((url) => Array.from({ length: 4 }, () => createClient(url)));
    try {
      const received = clients.map((): unknown[] => []);
      const notices: string[] = [];
      for (const [index, client] of clients.entries()) {
        const subscription = client.subscribe('orders', ({ data }) => received[index]?.push(data));
        subscription.on('gap', () => notices.push('gap'));
        subscription.on('reset', () => notices.push('reset'));
        await subscription.ready;
      }
      const [, second] = nodes;
      let isStopped = false;
      const stopping = second?.stop().finally(() => {
        isStopped = true;
      });
      const coming = comeUntil(() => isStopped);
      const accepted: number[] = [];
      for (let number = 0; !isStopped; number++) {
        await clients[number % clients.length]?.publish('orders', number, { timeoutMs: 60_000 });
        accepted.push(number);
        await delay(pauseMs);
      }
      expect(await stopping).toBe(0);
      expect(await coming).toEqual([]);
      await expect.poll(() => received.map(({ length }) => length)).toEqual(clients.map(() => accepted.length));
      expect(received).toEqual(clients.map(() => accepted));
      expect(notices).toEqual([]);
    } finally {
      await Promise.all(clients.map((client) => client.close()));
    }
  });
});

/** The node that a new client reaches, or why it was refused. */
function newcomer(url: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, { handshakeTimeout: 60_000, rejectUnauthorized: false });
    socket.once('open', () => socket.send('{"type":"connect","id":1}'));
    socket.once('message', (message) => {
      socket.close();
      resolve(JSON.parse(String(message)).node ?? String(message));
    });
    socket.once('error', (error) => resolve(error.message));
    socket.once('close', (code) => resolve(`closed with ${code}`));
  });
}

/** One after the other. */
async function several(url: string, count: number): Promise<string[]> {
  const reached: string[] = [];
  for (let index = 0; index < count; index++) reached.push(await newcomer(url));
  return reached;
}
