/** The console in a real browser, against a real node, behind a proxy that serves it under a path. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createClient } from '@fanfare/client';
import { startNode as startProcess, startRedis } from '@fanfare/local-cluster';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { startNode } from '../broker/test/harness.js';
import { hasBrowser, launchBrowser } from './chromium.js';

/** Serves what `target` serves, under `/1/`. */
async function startProxy(target: string): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer((request, response) => {
    void (async () => {
      if (request.url?.startsWith('/1/') !== true) return void response.writeHead(404).end();
      const answer = await fetch(target + request.url.slice(2));
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      response.end(Buffer.from(await answer.arrayBuffer()));
    })().catch(() => response.writeHead(502).end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/1/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const figure = (page: Page, name: string) => page.locator('.figure', { has: page.getByText(name, { exact: true }) });

describe.skipIf(!hasBrowser)('the console', () => {
  it('shows the state of the node, and a user can try the node with it', async () => {
    await using redis = await startRedis();
    await using node = await startNode({ FANFARE_REDIS_URL: redis.url, FANFARE_NODE_NAME: 'node-7' });
    await using proxy = await startProxy(`http://127.0.0.1:${node.broker.adminPort}`);
    const browser = await launchBrowser();
    try {
      const page = await browser.newPage();
      const problems: string[] = [];
      page.on('pageerror', (error) => problems.push(error.message));
      page.on('console', (message) => {
        // The browser also logs the expected 503 of /readyz.
        if (message.type() === 'error' && !message.text().includes('503')) problems.push(message.text());
      });
      await page.goto(proxy.url);
      await page.getByText('Ready: serving.').waitFor();
      await page.getByText('node-7, version').waitFor();

      await using client = createClient(node.url);
      await using other = createClient(node.url);
      await Promise.all([client, other].map((each) => each.subscribe('prices', () => undefined).ready));
      await figure(page, 'Connections').getByText('2', { exact: true }).waitFor();
      await figure(page, 'Subscriptions').getByText('2', { exact: true }).waitFor();

      expect(await page.getByLabel('URL for clients').inputValue()).toBe(node.url);
      await page.getByRole('button', { name: 'Connect' }).click();
      await page.getByRole('log').getByText('"type":"connected"').waitFor();
      await page.getByRole('button', { name: 'Subscribe' }).click();
      await page.getByRole('log').getByText('"type":"subscribed"').waitFor();
      await page.getByLabel('JSON to publish').fill('{"from":"the console"}');
      await page.getByLabel('JSON to publish').press('Enter');
      await page.getByRole('log').getByText('"items":[{"data":{"from":"the console"}}]').waitFor();
      expect(problems).toEqual([]);

      await redis.kill();
      await page.getByText('Not ready: Redis is not connected.').waitFor();
      await figure(page, 'Redis round trip').getByText('broken').waitFor();
      await node.broker.drain();
      await page.getByText('The node has not responded').waitFor();
    } finally {
      await browser.close();
    }
  });

  it('runs only its own script, and is also served by a node with several workers', async () => {
    await using redis = await startRedis();
    await using node = await startProcess({ redisUrl: redis.url, env: { FANFARE_WORKERS: '2' } });
    const response = await fetch(`${node.adminUrl}/`);
    expect(response.headers.get('content-security-policy')).toMatch(/^default-src 'none'; script-src 'sha256-\S+';/);
    expect(await response.text()).not.toMatch(/(src|href)="(https?:)?\//);
    expect(await (await fetch(`${node.adminUrl}/node.json`)).json()).toMatchObject({
      clientPort: node.port,
      isTls: false,
      hasRedis: true,
      asksForTokens: false,
    });
    expect((await fetch(`${node.adminUrl}/nothing`)).status).toBe(404);
  });
});
