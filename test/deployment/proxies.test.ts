/**
 * The files in proxies/ with the real programs, all three in front of the same two nodes. Each node has its own
 * loopback address, so tests change only what an operator changes too: addresses and ports.
 */
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from '@fanfare/client';
import {
  Child,
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
import { findProgram, missingPrograms } from './programs.js';

const hosts = ['127.0.0.11', '127.0.0.12'] as const;

/**
 * Timeouts for nodes that do not respond. On a busy machine, healthy nodes may need longer; killed nodes refuse
 * connections at once.
 */
const answerTimeouts =
  /(?<=(?:proxy_connect_timeout|proxy_next_upstream_timeout|health_timeout|dial_timeout|timeout (?:connect|check)) )\d+s/g;

/** Longer than the 2 s after which these nodes ping, and much shorter than in production. */
const idleTimeoutSeconds = 4;

/** Between two publications during a drain, and between two new clients. Without it, the tests would be load tests. */
const pauseMs = 20;

interface Proxy {
  readonly file: string;
  /** Its timeouts for idle WebSockets, which become {@link idleTimeoutSeconds}. */
  readonly idleTimeouts: RegExp;
  /** Whether it checks the health of the nodes. */
  readonly hasChecks: boolean;
  command(file: string, folder: string): [string, ...string[]];
  /** Changes that let a program share this machine with others. */
  adapt(text: string, folder: string): string;
}

const proxies = {
  nginx: {
    file: 'nginx.conf',
    idleTimeouts: /(?<=proxy_(?:read|send)_timeout )\d+s/g,
    hasChecks: false,
    command: (file, folder) => [findProgram('nginx') ?? '', '-p', folder, '-e', 'stderr', '-c', file],
    adapt: (text, folder) => {
      const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
      const paths = kinds.map((kind) => `${kind}_temp_path ${join(folder, kind)};`).join(' ');
      return text
        .replace('worker_processes auto;', `daemon off; master_process off; pid ${join(folder, 'pid')};`)
        .replace(/worker_rlimit_nofile .*/, '')
        .replace('worker_connections 20000', 'worker_connections 1000')
        .replace('http {', `http { access_log off; ${paths}`);
    },
  },
  caddy: {
    file: 'Caddyfile',
    idleTimeouts: /$^/g,
    hasChecks: true,
    command: (file) => [findProgram('caddy') ?? '', 'run', '--config', file, '--adapter', 'caddyfile'],
    adapt: (text) => `{\n\tadmin off\n\tauto_https off\n}\n${text}`,
  },
  haproxy: {
    file: 'haproxy.cfg',
    idleTimeouts: /(?<=timeout tunnel )1h/g,
    hasChecks: true,
    command: (file) => [findProgram('haproxy') ?? '', '-db', '-f', file],
    adapt: (text) => text.replace('maxconn 20000', 'maxconn 1000'),
  },
} as const satisfies Readonly<Record<string, Proxy>>;

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
      host: hosts[index] ?? '',
      port: previous?.port ?? nodes[0]?.port ?? (await findFreePort()),
      adminPort: previous?.adminPort ?? nodes[0]?.adminPort ?? (await findFreePort()),
      redisUrl: index === 1 ? `redis://${link.address}` : redis.url,
      env: {
        FANFARE_NODE_NAME: `node-${index}`,
        FANFARE_IDLE_TIMEOUT_SECONDS: '8',
        FANFARE_DRAIN_WINDOW_MS: '2000',
        FANFARE_REDIS_TIMEOUT_MS: '500',
      },
    });
  };

  /**
   * Starts a program with its edited file, waits until a client gets an outcome that `isReady` accepts, and returns the
   * URL.
   */
  const startProxy = async (
    name: keyof typeof proxies,
    edit = (text: string): string => text,
    isReady = (outcome: string): boolean => outcome.startsWith('node-'),
    scheme = 'ws',
  ): Promise<string> => {
    const { file, idleTimeouts, command, adapt }: Proxy = proxies[name];
    const port = await findFreePort();
    const text = edit(await readFile(join(root, 'proxies', file), 'utf8'))
      .replaceAll('10.0.0.', '127.0.0.')
      .replaceAll('8080', String(nodes[0]?.port))
      .replaceAll('8081', String(nodes[0]?.adminPort))
      .replace(/(?<=^\s*(?:listen |bind :|:|https:\/\/127.0.0.1:))(?:80|443)\b/gm, String(port))
      .replace(answerTimeouts, '60s')
      .replace(idleTimeouts, `${idleTimeoutSeconds}s`);
    const own = await mkdtemp(join(folder, 'proxy-'));
    await writeFile(join(own, file), adapt(text, own));
    const child = new Child({ command: command(join(own, file), own), env: { ...process.env, HOME: own } });
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
      (Object.keys(proxies) as (keyof typeof proxies)[]).map(async (name) => {
        urls.set(name, await startProxy(name));
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
      // The answer of these nodes, which require no tokens, for such a path.
      const said = 'The WebSocket endpoint is /ws';
      expect(await bodyOf('/v1/tickets'), name).toContain(said);
      for (const path of [
        '/v1/revocations',
        '/v1//revocations',
        '/v1/%72evocations',
        '/v1/tickets/../revocations',
        '/',
      ])
        expect(await bodyOf(path), `${name} ${path}`).not.toContain(said);
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
    await Promise.all(
      (['nginx', 'caddy', 'haproxy'] as const).map((name) => startProxy(name, secure, isServed, 'wss')),
    );
  });

  it.concurrent('fail without some of their lines', async () => {
    // HTTP/1.0.
    await startProxy('nginx', without(/proxy_http_version.*/), says(505));
    const toClientPort = (text: string): string =>
      text.replace(' ver HTTP/1.1 hdr Host fanfare', '').replace('check port 8081', 'check');
    await startProxy('haproxy', toClientPort, says(503));
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
        startProxy('haproxy', (text) =>
          text
            .replace(/ {2}option httpchk\n.*\n.*\n/, block('haproxy'))
            .replace(/ {2}default-server check port .*\n/, ''),
        ),
        startProxy('caddy', (text) => text.replace(/\t\thealth_uri[\s\S]*?health_status.*\n/, block('caddy'))),
      ]);
      bare = await startProxy('caddy', () => ':80 {\n\treverse_proxy 10.0.0.11:8080 10.0.0.12:8080\n}\n');
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
