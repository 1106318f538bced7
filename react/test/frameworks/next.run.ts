/** An app with Next: nothing connects during the build and on the server, and routes share a subscription. */
import { createClient } from '@fanfare/client';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startNode, type TestNode } from '../../../broker/test/harness.js';
import { launchBrowser } from '../../../test/chromium.js';
import { watch } from '../site.js';
import { Project } from './project.js';

const packages = { next: '16.4.6', react: '19.3.1', 'react-dom': '19.3.1' };

/** `cacheComponents`: Next hides a route in an `<Activity>` instead of removing it. */
const files = (node: TestNode, cacheComponents: boolean): Record<string, string> => ({
  'next.config.js': `
    export default {
      cacheComponents: ${cacheComponents},
      devIndicators: false,
      allowedDevOrigins: ['127.0.0.1'],
    };
  `,
  'app/layout.jsx': `
    import { Providers } from './providers.jsx';
    export default function Layout({ children }) {
      return <html><head><link rel="icon" href="data:," /></head><body><Providers>{children}</Providers></body></html>;
    }
  `,
  'app/providers.jsx': `
    'use client';
    import { createClient } from '@fanfare/client/json';
    import { FanfareProvider } from '@fanfare/react';
    const newClient = () => createClient('${node.url}');
    export function Providers({ children }) {
      return <FanfareProvider client={newClient}>{children}</FanfareProvider>;
    }
  `,
  'app/list.jsx': `
    'use client';
    import { useConnection, useTopic } from '@fanfare/react';
    export function List({ name }) {
      const { data, status, gap } = useTopic('numbers', { list: 100 });
      return <p>{name} {useConnection().name} {status} {data.map((item) => item.data).join()} {gap?.reason}</p>;
    }
  `,
  'app/page.jsx': `
    import Link from 'next/link';
    import { List } from './list.jsx';
    export default function Page() { return <><List name="home" /><Link href="/other">to other</Link></>; }
  `,
  'app/other/page.jsx': `
    import Link from 'next/link';
    import { List } from '../list.jsx';
    export default function Page() { return <><List name="other" /><Link href="/">to home</Link></>; }
  `,
});

const commands = ['connect', 'subscribe', 'unsubscribe'] as const;

describe.each([
  ['by default', false],
  ['with cacheComponents', true],
])('an app with Next, %s', (_name, cacheComponents) => {
  let node: TestNode;
  let browser: Browser;
  let project: Project;
  beforeAll(async () => {
    node = await startNode({});
    browser = await launchBrowser();
    project = await Project.create(packages, files(node, cacheComponents));
  });
  afterAll(async () => {
    await browser?.close();
    await project?.[Symbol.asyncDispose]();
    await node?.[Symbol.asyncDispose]();
  });

  const opened = (): Promise<number> => node.metric('fanfare_connections_opened_total');
  const shown = (page: Page): Promise<string> => page.locator('p:visible').innerText();

  async function visitRoutes(page: Page, published: number): Promise<void> {
    await using publisher = createClient(node.url);
    await expect.poll(() => shown(page)).toBe('home connected subscribed');
    await publisher.publish('numbers', published);
    await expect.poll(() => shown(page)).toBe(`home connected subscribed ${published}`);
    await page.evaluate('window.isSamePage = true');
    await page.click('a:visible');
    await expect.poll(() => shown(page)).toBe(`other connected subscribed ${published}`);
    await publisher.publish('numbers', published + 1);
    await expect.poll(() => shown(page)).toBe(`other connected subscribed ${published},${published + 1}`);
    await page.click('a:visible');
    await expect.poll(() => shown(page)).toBe(`home connected subscribed ${published},${published + 1}`);
    expect(await page.evaluate('window.isSamePage')).toBe(true);
    expect(await node.metric('fanfare_subscriptions')).toBe(1);
  }

  it('builds and renders on the server without a connection, and continues in the browser', async () => {
    const before = await opened();
    await project.run('next', 'build');
    await using server = await project.serve('next', 'start', '--hostname', '127.0.0.1', '--port', '0');
    const html = await (await fetch(server.url)).text();
    expect(html.replaceAll('<!-- -->', '')).toContain('<p>home disconnected subscribing  </p>');
    expect(await opened()).toBe(before);
    const page = await browser.newPage();
    const { sent, problems } = watch(page);
    await page.goto(server.url);
    await visitRoutes(page, 1);
    expect(commands.map(sent)).toEqual([1, 1, 0]);
    expect(problems).toEqual([]);
    await page.close();
  });

  it('keeps its connection and data through hot reloads of next dev', async () => {
    await using server = await project.serve('next', 'dev', '--hostname', '127.0.0.1', '--port', '0');
    const before = await opened();
    await fetch(server.url);
    expect(await opened()).toBe(before);
    const page = await browser.newPage();
    const { sent, problems } = watch(page);
    await page.goto(server.url);
    await visitRoutes(page, 10);
    for (const [from, to] of [
      ['<p>{name}', '<p>first {name}'],
      ['first', 'second'],
    ] as const) {
      await project.edit('app/list.jsx', from, to);
      await expect
        .poll(() => shown(page))
        .toBe(`${to.replace('<p>', '').replace(' {name}', '')} home connected subscribed 10,11`);
    }
    await project.edit('app/providers.jsx', '{children}</', '<i>edited</i>{children}</');
    await expect.poll(() => page.locator('i').innerText()).toBe('edited');
    await expect.poll(() => shown(page)).toBe('second home connected subscribed 10,11');
    expect(await page.evaluate('window.isSamePage')).toBe(true);
    expect(commands.map(sent)).toEqual([1, 1, 0]);
    expect(problems).toEqual([]);
    await page.close();
  });
});
