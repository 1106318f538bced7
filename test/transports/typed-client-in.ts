/** The tests of the typed client in one browser: over each transport, directly and through the proxies of Debian. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@fanfare/client';
import {
  type Child,
  findFreePort,
  type NodeProcess,
  type RedisProcess,
  startNode as startProcess,
  startRedis,
} from '@fanfare/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startNode } from '../../broker/test/harness.js';
import { until } from '../../broker/test/wait.js';
import { bundle } from '../../client/bundle.js';
import { allTransports } from '../../client/src/fallback/transports.js';
import { missingPrograms } from '../deployment/programs.js';
import { type ProxyName, proxiedHosts, startProxy } from '../deployment/proxies.js';
import type { Browser, Tab } from '../firefox.js';
import { Network } from './network.js';

const proxyNames = ['nginx', 'caddy', 'haproxy'] as const satisfies readonly ProxyName[];

/** Pages with the client, and with a function that makes one and records what it does. */
const page = `<!doctype html><title>Page</title><script type="module">
  import { createClient } from '/fanfare.js';
  window.make = async (url, options) => {
    window.log = { seen: [], events: [], states: [] };
    const quick = { reconnectBaseDelayMs: 5, reconnectMaxDelayMs: 50, timeoutMs: 60_000 };
    window.client = createClient(url, { ...quick, ...options });
    client.on('state', ({ name }) => log.states.push(name + ' ' + client.transport));
    const subscription = client.subscribe('news', ({ data }) => log.seen.push(data));
    for (const name of ['gap', 'reset', 'error']) subscription.on(name, () => log.events.push(name));
    await subscription.ready;
    return client.transport;
  };
</script>`;

async function servePages(): Promise<{ server: Server; url: string }> {
  const { code } = await bundle('fallback', { minify: true });
  const server = createServer((request, response) => {
    const isClient = request.url === '/fanfare.js';
    response.setHeader('Content-Type', isClient ? 'text/javascript' : 'text/html; charset=utf-8');
    response.end(isClient ? code : page);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, at) => from + at);

export function testTypedClient(browserName: string, isHere: boolean, launch: () => Promise<Browser>): void {
  let browser: Browser;
  let site: { server: Server; url: string };
  beforeAll(async () => {
    if (isHere) browser = await launch();
    site = await servePages();
  });
  afterAll(async () => {
    await browser?.[Symbol.asyncDispose]();
    site?.server.closeAllConnections();
    site?.server.close();
  });

  /** A page of another origin than that of the broker. */
  async function openTab(): Promise<Tab> {
    const tab = await browser.open();
    await tab.goto(site.url);
    await until('the page is ready', () => tab.evaluate(`typeof window.make === 'function'`) as Promise<boolean>);
    return tab;
  }

  /** Makes a client; returns its transport. */
  const make = (tab: Tab, url: string, options: object = {}): Promise<unknown> =>
    tab.evaluate(`make(${JSON.stringify(url)}, ${JSON.stringify(options)})`);
  const publish = (tab: Tab, values: readonly number[]): Promise<unknown> =>
    tab.evaluate(`Promise.all(${JSON.stringify(values)}.map((value) => client.publish('news', value))).then(() => 1)`);
  const seen = (tab: Tab): Promise<unknown> => tab.evaluate('log.seen');

  describe.skipIf(!isHere)(`at a node, in ${browserName}`, () => {
    it.each(allTransports)('publications arrive over %s, once and in order', async (transport) => {
      await using node = await startNode({});
      await using tab = await openTab();
      expect(await make(tab, node.url, { transports: [transport] })).toBe(transport);
      await publish(tab, numbers(1, 100));
      await expect.poll(() => seen(tab)).toEqual(numbers(1, 100));
      await tab.evaluate('client.close()');
      await expect.poll(() => node.metric('fanfare_connections')).toBe(0);
    });

    it('two polls of the same URL do not wait for each other', async () => {
      await using node = await startNode({});
      await using network = await Network.start(node.url);
      network.requests = 'buffered';
      await using tab = await openTab();
      for (const _ of numbers(1, 2)) await make(tab, network.url, { transports: ['longPolling'] });
      // The cache of a browser lets one wait until the other has ended, unless the request says no-store.
      const isPoll = (line: string): boolean => /^GET .*wait=20/.test(line);
      await until('the second poll has begun', () => network.log.filter(isPoll).length === 2);
      expect(network.ended.filter(isPoll)).toEqual([]);
      await publish(tab, [1]);
      // Both clients have the same log.
      await expect.poll(() => seen(tab)).toEqual([1, 1]);
    });

    it('a page that is closed leaves nothing at the node', async () => {
      await using node = await startNode({});
      for (const transport of allTransports) {
        await using tab = await openTab();
        await make(tab, node.url, { transports: [transport] });
        // Between two polls there is none.
        await expect.poll(() => node.metric('fanfare_subscriptions')).toBe(1);
      }
      await expect.poll(() => node.metric('fanfare_connections')).toBe(0);
      expect(await node.metric('fanfare_subscriptions')).toBe(0);
    });

    // One after the other: Firefox opens one WebSocket to a host at a time, so a silent one would hold up the others.
    it.each([
      ['serverSentEvents', 'refused', 'work'],
      ['serverSentEvents', 'mute', 'work'],
      ['longPolling', 'silent', 'buffered'],
    ] as const)(
      'finds %s if WebSockets are: %s, and requests: %s; and returns without loss',
      async (transport, webSockets, requests) => {
        await using node = await startNode({});
        await using network = await Network.start(node.url);
        Object.assign(network, { webSockets, requests });
        await using writer = createClient(node.url);
        await using tab = await openTab();
        expect(await make(tab, network.url, { probeDelayMs: 1_000 })).toBe(transport);
        let sent = 0;
        const flow = (): Promise<unknown> => writer.publish('news', ++sent);
        while (sent < 20) await flow();
        network.webSockets = 'work';
        await until('the page uses a WebSocket', async () => {
          await flow();
          return (await tab.evaluate('client.transport')) === 'webSocket';
        });
        const last = sent + 20;
        while (sent < last) await flow();
        await expect.poll(() => seen(tab)).toEqual(numbers(1, last));
        expect(await tab.evaluate('[log.events, log.states.slice(-2)]')).toEqual([
          [],
          [`connected ${transport}`, 'connected webSocket'],
        ]);
        await until('all requests have ended', () => network.open === 0);
      },
    );
  });

  const missing = missingPrograms('redis-server', ...proxyNames);
  describe.skipIf(!isHere || missing !== '')(`through proxies, in ${browserName}${missing}`, () => {
    let folder: string;
    let redis: RedisProcess;
    const nodes: NodeProcess[] = [];
    const children: Child[] = [];
    const urls = new Map<string, string>();

    const start = async (index: number): Promise<void> => {
      const [first] = nodes;
      nodes[index] = await startProcess({
        host: proxiedHosts[index] ?? '',
        port: first?.port ?? (await findFreePort()),
        adminPort: first?.adminPort ?? (await findFreePort()),
        redisUrl: redis.url,
        env: { FANFARE_DRAIN_WINDOW_MS: '1000', FANFARE_SSE_HEARTBEAT_MS: '1000', FANFARE_IDLE_TIMEOUT_SECONDS: '8' },
      });
    };

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'fanfare-typed-client-'));
      redis = await startRedis();
      await start(0);
      await start(1);
      await Promise.all(
        proxyNames.map(async (name) => {
          const { port, child } = await startProxy(name, nodes[0] as NodeProcess, folder);
          children.push(child);
          const url = `http://127.0.0.1:${port}`;
          urls.set(name, `ws://127.0.0.1:${port}/ws`);
          await until(`${name} answers`, async () => {
            if (child.hasExited) throw new Error(child.explain(`${name} ended.`));
            return (await fetch(`${url}/v1/openapi.json`).catch(() => null))?.status === 200;
          });
        }),
      );
    });
    afterAll(async () => {
      for (const child of [...children, ...nodes]) await child.kill();
      await redis?.[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    });

    // All transports at once: each loss of a node takes seconds, however many pages there are.
    it('pages receive everything once over each transport although nodes are killed and drain', async () => {
      const ways = proxyNames.flatMap((proxy) => allTransports.map((transport) => ({ proxy, transport })));
      const pages = await Promise.all(ways.map(async (way) => ({ ...way, tab: await openTab() })));
      const writers = nodes.map(({ url }) => createClient(url, { timeoutMs: 60_000 }));
      try {
        for (const { proxy, transport, tab } of pages) {
          expect(await make(tab, urls.get(proxy) ?? '', { transports: [transport] })).toBe(transport);
        }
        let sent = 0;
        const flow = async (index: number, count: number): Promise<void> => {
          for (const _ of numbers(1, count)) await writers[index]?.publish('news', ++sent);
        };
        await flow(0, 10);
        await nodes[0]?.kill();
        await flow(1, 10);
        await start(0);
        await flow(1, 10);
        const stopped = nodes[1]?.stop();
        await flow(0, 10);
        await stopped;
        await flow(0, 10);
        await start(1);
        // The pages publish, too.
        for (const { tab } of pages) await publish(tab, [++sent]);
        for (const { proxy, transport, tab } of pages) {
          const way = `${transport} through ${proxy}`;
          await expect.poll(async () => [way, await seen(tab)]).toEqual([way, numbers(1, sent)]);
          expect(await tab.evaluate('log.events'), way).toEqual([]);
        }
      } finally {
        await Promise.all(writers.map((writer) => writer.close()));
        await Promise.all(pages.map(({ tab }) => tab[Symbol.asyncDispose]()));
      }
    });
  });
}
