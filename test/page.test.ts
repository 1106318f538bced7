/** The client on web pages: both bundles, a return from the back/forward cache, unhandled errors, missing servers. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createClient } from '@fanfare/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startNode } from '../broker/test/harness.js';
import { bundle } from '../client/bundle.js';
import { browsers } from './browsers.js';
import type { Browser } from './firefox.js';

/** Serves pages with this script, and the bundle of this entry as a module. */
async function serve(script: string, entry: 'index' | 'json' | 'fallback' = 'index') {
  const { code } = await bundle(entry, { minify: true });
  const server = createServer((request, response) => {
    const isClient = request.url === '/fanfare.js';
    response.setHeader('Content-Type', isClient ? 'text/javascript' : 'text/html; charset=utf-8');
    if (isClient) return response.end(code);
    const body = request.url === '/' ? `<script type="module">${script}</script>` : 'Another page.';
    return response.end(`<!doctype html><title>Page</title>${body}`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A server without a WebSocket endpoint, whose answers pages of other origins may not read. */
async function serveNothing() {
  const server = createServer((_request, response) => response.writeHead(404).end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe.each(browsers)('in %s', (name, isHere, launch) => {
  let browser: Browser;
  beforeAll(async () => {
    if (isHere) browser = await launch();
  });
  afterAll(() => browser?.[Symbol.asyncDispose]());

  it.skipIf(!isHere).each(['index', 'json', 'fallback'] as const)(
    'the bundle "%s" publishes and subscribes',
    async (entry) => {
      await using node = await startNode({});
      await using site = await serve(
        `
      import { createClient } from '/fanfare.js';
      window.log = { seen: [], states: [], errors: [] };
      addEventListener('error', ({ message }) => log.errors.push(message));
      addEventListener('unhandledrejection', ({ reason }) => log.errors.push(reason.message));
      const client = createClient('${node.url}');
      client.on('state', ({ name }) => log.states.push(name));
      const subscription = client.subscribe('news', ({ data }) => log.seen.push(data));
      await subscription.ready;
      await client.publish('news', { from: 'browser', bytes: 'ä€😀' });
    `,
        entry,
      );
      await using client = createClient(node.url);
      const received: unknown[] = [];
      await client.subscribe('news', ({ data }) => received.push(data)).ready;
      await using tab = await browser.open();
      await tab.goto(site.url);
      const both = [{ from: 'browser', bytes: 'ä€😀' }, { from: 'node' }];
      await expect.poll(() => received).toEqual(both.slice(0, 1));
      await client.publish('news', both[1]);
      await expect
        .poll(() => tab.evaluate('log'))
        .toEqual({ seen: both, states: ['connecting', 'connected'], errors: [] });
      expect(received).toEqual(both);
    },
  );

  it.skipIf(!isHere)('a page that the user left and returns to has missed nothing', async () => {
    await using node = await startNode({});
    await using site = await serve(`
      import { createClient } from '/fanfare.js';
      window.log = { seen: [], states: [], events: [], shown: [] };
      const client = createClient('${node.url}');
      client.on('state', ({ name, code }) => log.states.push(code ?? name));
      const subscription = client.subscribe('news', ({ data }) => log.seen.push(data));
      for (const name of ['gap', 'reset', 'error']) subscription.on(name, () => log.events.push(name));
      addEventListener('pageshow', ({ persisted }) => log.shown.push(persisted));
      window.ready = subscription.ready;
    `);
    await using tab = await browser.open();
    await using writer = createClient(node.url);
    await writer.connect();
    const subscribers = (): Promise<number> => node.metric('fanfare_subscriptions');
    await tab.goto(site.url);
    await tab.evaluate('window.ready');
    await writer.publish('news', 1);
    await expect.poll(() => tab.evaluate('log.seen')).toEqual([1]);
    await tab.goto(`${site.url}another`);
    // A page in the back/forward cache is not subscribed, so the node sends it nothing.
    await expect.poll(subscribers).toBe(0);
    for (const number of [2, 3, 4]) await writer.publish('news', number);
    await tab.goBack();
    await tab.evaluate('window.ready');
    await expect.poll(subscribers).toBe(1);
    await writer.publish('news', 5);
    await expect.poll(() => tab.evaluate('log.seen.at(-1)')).toBe(5);
    // Firefox does not cache a page with an open WebSocket: it loads this one again.
    const isKept = await tab.evaluate('log.shown.includes(true)');
    expect(await tab.evaluate('log')).toMatchObject({
      seen: isKept ? [1, 2, 3, 4, 5] : [5],
      states: ['connectCalled', 'connected', ...(isKept ? ['pageHidden', 'connected'] : [])],
      events: [],
    });
    expect(isKept).toBe(name === 'Chromium');
  });

  it.skipIf(!isHere)('a client opens no connection before it is used, and reports why a connection fails', async () => {
    await using node = await startNode({});
    await using site = await serve(`
      import { createClient } from '/fanfare.js';
      window.log = { states: [], errors: [] };
      window.make = (url) => {
        const client = createClient(url, { reconnectMaxDelayMs: 10 });
        client.on('state', ({ name }) => log.states.push(name));
        client.on('error', ({ message }) => log.errors.push(message));
        return client;
      };
      window.unused = make('${node.url}');
      window.relative = make('/ws');
    `);
    await using tab = await browser.open();
    await tab.goto(site.url);
    await expect.poll(() => tab.evaluate('typeof make')).toBe('function');
    expect(await tab.evaluate('[unused.state.code, relative.state.code, log.states]')).toEqual([
      ...['notConnected', 'notConnected'],
      [],
    ]);
    expect(await node.metric('fanfare_connections')).toBe(0);
    // The server of the page has no WebSocket endpoint.
    await tab.evaluate(`relative.subscribe('a') && 1`);
    await expect
      .poll(() => tab.evaluate('log.errors.at(-1)'))
      .toMatch(/^No connection to ws:\/\/127\.0\.0\.1:\d+\/ws after \d+ attempts?: HTTP 200: /);
    // Another server with another path: the page may read the answer of the node.
    await tab.evaluate(`make('${node.url.replace(/\/ws$/, '/wrong')}').subscribe('a') && 1`);
    await expect
      .poll(() => tab.evaluate('log.errors.at(-1)'))
      .toMatch(/wrong after \d+ attempts?: HTTP 404: Not found\. The WebSocket endpoint is \/ws\.$/);
    // The page may not read this answer, and the browser gives no reason.
    await using other = await serveNothing();
    await tab.evaluate(`make('ws://${other.host}/ws').subscribe('a') && 1`);
    await expect
      .poll(() => tab.evaluate('log.errors.at(-1)'))
      .toMatch(/A server answers at this address, but not with a WebSocket/);
    await tab.evaluate(`make('wss://${other.host}/ws').subscribe('a') && 1`);
    await expect
      .poll(() => tab.evaluate('log.errors.at(-1)'))
      .toMatch(
        `No server answers at this address, or the certificate is not valid for ${other.host}, or the server expects ws: (`,
      );
  });

  it.skipIf(!isHere)('a failed publish that nobody awaits is an unhandled rejection', async () => {
    await using node = await startNode({});
    await using site = await serve(`
      import { createClient } from '/fanfare.js';
      window.unhandled = [];
      addEventListener('unhandledrejection', ({ reason }) => unhandled.push(reason.code));
      window.client = createClient('${node.url}');
      await client.connect();
      client.publish('no topic', 1);
      client.publish('news', 'x'.repeat(70_000));
      client.publish('news', 1);
    `);
    await using tab = await browser.open();
    await tab.goto(site.url);
    await expect.poll(() => tab.evaluate('window.unhandled')).toEqual(['invalidTopic', 'frameTooLarge']);
  });

  it.skipIf(!isHere)('a page of an origin that is not allowed gets an error that names the setting', async () => {
    await using node = await startNode({ FANFARE_ORIGINS: 'https://app.example.com' });
    await using site = await serve(`
      import { createClient } from '/fanfare.js';
      const client = createClient('${node.url}');
      window.errors = [];
      client.on('error', ({ message }) => errors.push(message));
      client.subscribe('a');
    `);
    await using tab = await browser.open();
    await tab.goto(site.url);
    const origin = site.url.slice(0, -1);
    await expect
      .poll(() => tab.evaluate('window.errors[0]'))
      .toMatch(`HTTP 403: The origin ${origin} is not allowed. FANFARE_ORIGINS lists the allowed origins.`);
  });
});
