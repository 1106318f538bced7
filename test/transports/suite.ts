/**
 * Event streams and long polls on pages without our client, in one browser: directly at a node, and through each proxy
 * of Debian with its file in proxies/.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  Balancer,
  type Child,
  findFreePort,
  type NodeProcess,
  type RedisProcess,
  startNode,
  startRedis,
} from '@fanfare/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, startNode as startNodeHere } from '../../broker/test/harness.js';
import { until } from '../../broker/test/wait.js';
import { missingPrograms } from '../deployment/programs.js';
import { idleTimeoutSeconds, type ProxyName, proxiedHosts, startProxy } from '../deployment/proxies.js';
import type { Browser, Tab } from '../firefox.js';
import { env as authEnv, tokenOf } from '../tokens.js';

const watchPage = fileURLToPath(new URL('../../examples/http/watch.html', import.meta.url));

/** Counts how often the browser opens a stream. */
const counter = `<!doctype html><script>
  window.opened = 0;
  window.EventSource = class extends EventSource {
    constructor(...args) {
      super(...args);
      this.addEventListener('open', () => opened++);
    }
  };
</script>`;

/** Its pages do nothing by themselves; `watch` is the one of docs/http.md, for the broker in `?broker=`. */
async function servePages(): Promise<{ server: Server; url: string }> {
  const page = await readFile(watchPage, 'utf8');
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://x');
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    const token = searchParams.get('token');
    if (token !== null) response.setHeader('Set-Cookie', `session=${token}; HttpOnly; Path=/`);
    if (pathname === '/watch') {
      response.end(counter + page.replace('http://localhost:8080', searchParams.get('broker') ?? ''));
    } else response.end('<!doctype html><title>Page</title>');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const names = ['nginx', 'caddy', 'haproxy'] as const satisfies readonly ProxyName[];

export function testTransports(browserName: string, isHere: boolean, launch: () => Promise<Browser>): void {
  const missing = missingPrograms('redis-server', ...names);
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

  /** A page of another origin than that of the broker, unless `url` is given. */
  async function openTab(url = site.url): Promise<Tab> {
    const tab = await browser.open();
    await tab.goto(url);
    return tab;
  }

  const post = (url: string, topic: string, data: unknown, key: string, token = 'none'): Promise<Response> =>
    fetch(`${url}/v1/topics/${topic}/publications`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key, Authorization: `Bearer ${token}` },
      body: JSON.stringify(data),
    });

  describe.skipIf(!isHere || missing !== '')(`through proxies, in ${browserName}${missing}`, () => {
    let folder: string;
    let redis: RedisProcess;
    const nodes: NodeProcess[] = [];
    const children: Child[] = [];
    /** The base URL of each way to the nodes. */
    const ways = new Map<string, string>();
    const tabs = new Map<string, Tab>();
    let published = 0;

    const start = async (index: number): Promise<void> => {
      const [first] = nodes;
      nodes[index] = await startNode({
        host: proxiedHosts[index] ?? '',
        port: first?.port ?? (await findFreePort()),
        adminPort: first?.adminPort ?? (await findFreePort()),
        redisUrl: redis.url,
        env: { FANFARE_SSE_HEARTBEAT_MS: '1000', FANFARE_DRAIN_WINDOW_MS: '1000', FANFARE_DRAIN_TIMEOUT_MS: '2000' },
      });
    };

    /** Publishes at a node that runs, like a backend: with a key, again and again. */
    const publish = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index++) {
        const number = published++;
        await until('it is published', async () => {
          const running = nodes.find(({ hasExited }) => !hasExited);
          const url = baseOf(running?.url ?? '');
          const response = await post(url, 'orders.42', number, `number-${number}`).catch(() => null);
          return response?.status === 200;
        });
      }
    };

    const seen = (tab: Tab): Promise<unknown> =>
      tab.evaluate("[...document.querySelectorAll('li')].map((item) => item.textContent).join(' ')");
    const subscribers = async (): Promise<number> =>
      (await topicOf(baseOf(nodes.find(({ hasExited }) => !hasExited)?.url ?? ''))).subscribers;
    /** How often the pages have opened a stream. */
    const openings = (): Promise<unknown[]> => Promise.all([...tabs.values()].map((tab) => tab.evaluate('opened')));
    /** Each page has shown each publication once, in order, and nothing else. */
    const expectAll = async (): Promise<void> => {
      const all = Array.from({ length: published }, (_, index) => index).join(' ');
      for (const [name, tab] of tabs) await expect.poll(async () => [name, await seen(tab)]).toEqual([name, all]);
    };

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'fanfare-transports-'));
      redis = await startRedis();
      await start(0);
      await start(1);
      const [node] = nodes as [NodeProcess];
      ways.set('direct', `http://${proxiedHosts[0]}:${node.port}`);
      await Promise.all(
        names.map(async (name) => {
          const { port, child } = await startProxy(name, node, folder);
          children.push(child);
          const url = `http://127.0.0.1:${port}`;
          ways.set(name, url);
          await until(`${name} answers`, async () => {
            if (child.hasExited) throw new Error(child.explain(`${name} ended.`));
            return (await fetch(`${url}/v1/openapi.json`).catch(() => null))?.status === 200;
          });
        }),
      );
      for (const [name, url] of ways) tabs.set(name, await openTab(`${site.url}/watch?broker=${url}`));
      await until('all pages are subscribed', async () => (await subscribers()) === ways.size);
    });
    afterAll(async () => {
      for (const tab of tabs.values()) await tab[Symbol.asyncDispose]();
      for (const child of [...children, ...nodes]) await child.kill();
      await redis?.[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    });

    it('each event arrives at once, before the next one is published', async () => {
      for (let count = 0; count < 5; count++) {
        await publish(1);
        await expectAll();
      }
    });

    it('idle streams stay open for longer than the timeouts of the proxies', async () => {
      const before = await openings();
      const begunMs = performance.now();
      // A long poll of two seconds, again and again, measures time.
      while (performance.now() - begunMs < (idleTimeoutSeconds + 1) * 1_000) {
        const statuses = await Promise.all(
          [...ways.values()].map(
            async (url) => (await fetch(`${url}/v1/topics/quiet/publications?since=now&wait=2`)).status,
          ),
        );
        expect(new Set(statuses)).toEqual(new Set([204]));
      }
      await publish(1);
      await expectAll();
      expect(await openings()).toEqual(before);
    });

    it.each([0, 1])('a page receives everything once although node %d is killed and starts again', async (index) => {
      await publish(3);
      await nodes[index]?.kill();
      await publish(3);
      await start(index);
      await publish(3);
      await expectAll();
    });

    it('a page receives everything once while a node drains', async () => {
      const [first] = nodes as [NodeProcess];
      let isOver = false;
      const stopped = first.stop().finally(() => {
        isOver = true;
      });
      while (!isOver) await publish(1);
      expect(await stopped).toBe(0);
      await start(0);
      await publish(3);
      await expectAll();
    });

    it('pages return by themselves although no node answered for a while', async () => {
      for (const node of nodes) await node.kill();
      for (const name of names) {
        const answer = await until(`${name} says so`, async () => {
          const response = await fetch(`${ways.get(name)}/v1/events?topic=orders.42`, {
            headers: { Accept: 'text/event-stream', Origin: site.url },
          });
          const text = await response.text();
          return text.includes('The proxy reaches no node.') && { response, text };
        });
        expect([answer.response.status, answer.response.headers.get('content-type')], name).toEqual([
          200,
          expect.stringMatching(/^text\/event-stream/),
        ]);
        expect(answer.response.headers.get('access-control-allow-origin'), name).toBe(site.url);
        expect(answer.text, name).toMatch(/^event: unavailable\ndata: \{"code":"unavailable".*\}\n\n$/);
        const other = await fetch(`${ways.get(name)}/v1/topics/orders.42`);
        expect(other.status, name).toBeGreaterThanOrEqual(502);
      }
      await start(0);
      await start(1);
      await publish(3);
      await expectAll();
    });
  });

  // Concurrent: they wait for delays of the browser.
  (isHere ? describe.concurrent : describe.skip)(`at a node, in ${browserName}`, () => {
    /** Collects the events of an EventSource in `window.log`, with their data unless it is `ready`. */
    const listen = (url: string, options = '{}'): string => `(() => {
      window.log = [];
      window.source = new EventSource(${JSON.stringify(url)}, ${options});
      for (const name of ['open', 'error', 'ready', 'message', 'gap', 'reset', 'goaway', 'unavailable', 'tokenExpired', 'unsubscribed'])
        source.addEventListener(name, ({ data }) => log.push(data === undefined || name === 'ready' ? name : name + ' ' + data));
    })()`;

    it('an EventSource survives a full node, and reports only publications as messages', async ({ expect }) => {
      await using node = await startNodeHere({ FANFARE_MAX_CONNECTIONS: '1' });
      const url = baseOf(node.url);
      const occupant = new AbortController();
      const stream = await fetch(`${url}/v1/events?topic=t`, { signal: occupant.signal });
      await using tab = await openTab();
      await tab.evaluate(listen(`${url}/v1/events?topic=t`));
      const log = (): Promise<unknown> => tab.evaluate('log');
      await expect.poll(log).toEqual(['open', expect.stringContaining('unavailable {"code":"overloaded"'), 'error']);
      expect(await tab.evaluate('source.readyState')).toBe(0);
      occupant.abort();
      await stream.body?.cancel().catch(() => undefined);
      await expect.poll(async () => ((await log()) as string[]).at(-1)).toBe('ready');
      await post(url, 't', { n: 1 }, 'a');
      await expect.poll(async () => ((await log()) as string[]).at(-1)).toBe('message {"n":1}');
    });

    it('the page and the command of README.md work: the page receives everything once, although the node is killed', async ({
      expect,
    }) => {
      const readme = await readFile(fileURLToPath(new URL('../../README.md', import.meta.url)), 'utf8');
      const [, section = ''] = readme.split('## Publish with curl, watch with EventSource\n');
      const blocks = (language: string): string[] =>
        section.split(`\`\`\`${language}\n`).map((text) => text.split('\n```')[0] ?? '');
      const [, page = ''] = blocks('html');
      const [, , curl = ''] = blocks('sh');
      await using redis = await startRedis();
      const options = { redisUrl: redis.url };
      await using node = await startNode(options);
      const { port, adminPort } = node;
      const folder = await mkdtemp(join(tmpdir(), 'fanfare-readme-'));
      try {
        const file = join(folder, 'watch.html');
        await writeFile(file, page.replace('localhost:8080', `127.0.0.1:${port}`));
        await using tab = await openTab(`file://${file}`);
        await until('it is subscribed', async () => (await topicOf(baseOf(node.url))).subscribers === 1);
        const publish = (state: string): void => {
          const command = curl.replace('localhost:8080', `127.0.0.1:${port}`);
          execFileSync('sh', ['-c', command.replaceAll('paid', state)], { stdio: 'pipe' });
        };
        publish('paid');
        publish('paid');
        const shown = (): Promise<unknown> =>
          tab.evaluate("[...document.querySelectorAll('li')].map((item) => item.textContent)");
        await expect.poll(shown).toEqual(['{"state":"paid"}']);
        await node.kill();
        await using again = await startNode({ ...options, port, adminPort });
        expect(again.port).toBe(port);
        publish('sent');
        publish('delivered');
        await expect.poll(shown).toEqual(['{"state":"paid"}', '{"state":"sent"}', '{"state":"delivered"}']);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });

    it('a page with a ticket continues on another node, although the ticket is used up', async ({ expect }) => {
      await using cluster = await startCluster({ nodes: 2, env: { ...authEnv, FANFARE_ORIGINS: site.url } });
      const ports = cluster.nodes.map(({ broker }) => broker.port);
      await using balancer = await Balancer.start({ ports, choice: 'first' });
      const url = baseOf(balancer.url);
      const token = tokenOf('ada', { publish: ['t'], subscribe: ['t'] }, 600);
      const issued = await fetch(`${url}/v1/tickets`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${token}` },
      });
      const { ticket } = (await issued.json()) as { ticket: string };
      await using tab = await openTab();
      await tab.evaluate(listen(`${url}/v1/events?topic=t&ticket=${ticket}`));
      const log = (): Promise<unknown> => tab.evaluate('log');
      await expect.poll(log).toEqual(['open', 'ready']);
      expect((await post(url, 't', 1, 'a', token)).status).toBe(200);
      await expect.poll(log).toEqual(['open', 'ready', 'message 1']);
      await cluster.node(0).broker.drain();
      // Published before the browser is back.
      expect((await post(baseOf(cluster.node(1).url), 't', 2, 'b', token)).status).toBe(200);
      const rest = ['goaway {}', 'error', 'open', 'ready', 'message 2'];
      await expect.poll(log).toEqual(['open', 'ready', 'message 1', ...rest]);
    });

    it('a cookie opens a stream for pages of allowed origins only', async ({ expect }) => {
      await using node = await startNodeHere({ ...authEnv, FANFARE_ORIGINS: site.url, FANFARE_COOKIE_NAME: 'session' });
      const url = baseOf(node.url);
      const token = tokenOf('ada', { publish: ['t'], subscribe: ['t'] }, 600);
      await using tab = await openTab(`${site.url}/?token=${token}`);
      await tab.evaluate(listen(`${url}/v1/events?topic=t`, '{ withCredentials: true }'));
      const log = (): Promise<unknown> => tab.evaluate('log');
      await expect.poll(log).toEqual(['open', 'ready']);
      await post(url, 't', 1, 'a', token);
      await expect.poll(log).toEqual(['open', 'ready', 'message 1']);
      // A cookie publishes nothing: any page can make a browser send it.
      const status = `fetch('${url}/v1/topics/t/publications', { method: 'POST', credentials: 'include', body: '2', headers: { 'Content-Type': 'application/json' } }).then(({ status }) => status, () => 'refused')`;
      expect(await tab.evaluate(status)).toBe('refused');
      const foreign = await servePages();
      try {
        await using other = await openTab(foreign.url);
        await other.evaluate(listen(`${url}/v1/events?topic=t`, '{ withCredentials: true }'));
        await expect.poll(() => other.evaluate('[log.join(), source.readyState]')).toEqual(['error', 2]);
      } finally {
        foreign.server.closeAllConnections();
        foreign.server.close();
      }
    });

    it('two long polls of one URL wait at the same time', async ({ expect }) => {
      await using node = await startNodeHere({});
      const url = baseOf(node.url);
      await using tab = await openTab();
      await tab.evaluate(`(() => {
        const poll = () => fetch('${url}/v1/topics/t/publications?since=now&wait=30', { cache: 'no-store' });
        window.polls = Promise.all([poll(), poll()].map((each) => each.then((response) => response.json())));
      })()`);
      await until('both are held', async () => (await node.metric('fanfare_held_polls')) === 2);
      await post(url, 't', { n: 1 }, 'a');
      expect(await tab.evaluate('polls.then((pages) => pages.map(({ publications }) => publications))')).toEqual([
        [{ offset: 1, data: { n: 1 } }],
        [{ offset: 1, data: { n: 1 } }],
      ]);
    });

    it('a page can read where the next long poll begins, also after 204', async ({ expect }) => {
      await using node = await startNodeHere({});
      const url = baseOf(node.url);
      await using tab = await openTab();
      const read = `fetch('${url}/v1/topics/t/publications?since=now&wait=1', { cache: 'no-store' })
        .then(({ status, headers }) => [status, headers.get('Fanfare-Position')])`;
      expect(await tab.evaluate(read)).toEqual([204, expect.stringMatching(/^\S+-0$/)]);
    });

    it('a page publishes with fetch, and what is not JSON gets a clear answer', async ({ expect }) => {
      await using node = await startNodeHere({});
      const url = baseOf(node.url);
      await using tab = await openTab();
      const publish = (body: string): Promise<unknown> =>
        tab.evaluate(`fetch('${url}/v1/topics/t/publications', {
          method: 'POST',
          headers: { 'Content-Type': 'application/json', 'Idempotency-Key': crypto.randomUUID() },
          duplex: 'half',
          body: ${body},
        }).then(
          async (response) => [response.status, (await response.json()).detail ?? null],
          (error) => [error.name],
        )`);
      expect(await publish(`'{"n":1}'`)).toEqual([200, null]);
      const streamed = await publish(`new ReadableStream({ start(controller) { controller.close(); } })`);
      // Chromium refuses to send it over HTTP/1.1. Firefox sends the text "[object ReadableStream]".
      if (browserName === 'Chromium') expect(streamed).toEqual(['TypeError']);
      else expect(streamed).toEqual([400, expect.stringMatching(/^The body is not JSON/)]);
    });

    it('sendBeacon can publish on the origin of the broker only, and at most 64 KiB', async ({ expect }) => {
      await using node = await startNodeHere({ FANFARE_MAX_FRAME_BYTES: '1000000' });
      const url = baseOf(node.url);
      // A page of the origin of the broker, as behind a proxy.
      await using tab = await openTab(`${url}/ws`);
      const send = (size: number, type: string): Promise<unknown> =>
        tab.evaluate(`navigator.sendBeacon('${url}/v1/topics/t/publications',
          new Blob([JSON.stringify('x'.repeat(${size - 2}))], { type: '${type}' }))`);
      expect(await send(65_537, 'application/json')).toBe(browserName !== 'Chromium');
      expect(await send(65_536, 'application/json')).toBe(true);
      const offset = async (): Promise<number> => (await topicOf(url, 't')).offset;
      await expect.poll(offset).toBe(browserName === 'Chromium' ? 1 : 2);
    });
  });
}

async function topicOf(
  url: string,
  topic = 'orders.42',
): Promise<{ readonly subscribers: number; readonly offset: number }> {
  const response = await fetch(`${url}/v1/topics/${topic}`);
  return (await response.json()) as { subscribers: number; offset: number };
}

/** The base of the HTTP URLs. */
function baseOf(url: string): string {
  return url.replace(/^ws/, 'http').replace(/\/ws$/, '');
}
