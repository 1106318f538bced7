/** An app with Vite: hot reload, and a production build. */
import { createClient } from '@fanfare/client';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startNode, type TestNode } from '../../../broker/test/harness.js';
import { launchBrowser } from '../../../test/chromium.js';
import { type Tab, watch } from '../site.js';
import { Project } from './project.js';

const packages = {
  react: '19.3.1',
  'react-dom': '19.3.1',
  vite: '8.4.0',
  '@vitejs/plugin-react': '6.3.0',
};

const files = (node: TestNode): Record<string, string> => ({
  'vite.config.js': `
    import react from '@vitejs/plugin-react';
    export default { plugins: [react()] };
  `,
  'index.html': `<!doctype html><title>App</title><link rel="icon" href="data:,"><div id="root"></div>
    <script type="module" src="/src/main.jsx"></script>`,
  'src/fanfare.js': `
    import { createHooks } from '@fanfare/react';
    export const { FanfareProvider, useClient, useConnection, useTopic } = createHooks();
  `,
  // The recipe of the README for a client in a module.
  'src/client.js': `
    import { createClient } from '@fanfare/client/json';
    const kept = import.meta.hot?.data ?? {};
    export const client = (kept.client ??= createClient('${node.url}'));
    export const label = 'client';
  `,
  'src/chat.jsx': `
    import { useTopic } from './fanfare.js';
    import { sum } from './sum.js';
    export function Chat() {
      const { data, status } = useTopic('numbers', { list: 100 });
      const total = useTopic('numbers', { reduce: sum, initial: 0, last: 100 });
      return <p>one {status} {data.map((item) => item.data).join()} total {total.data}</p>;
    }
  `,
  'src/sum.js': `export const sum = (state, { data }) => state + data;`,
  // Shown instead of the chat, with a client of the module.
  'src/other.jsx': `
    import { client, label } from './client.js';
    import { FanfareProvider, useTopic } from './fanfare.js';
    function List() {
      const { data, status } = useTopic('numbers', { list: 100 });
      return <p>other {label} {status} {data.map((item) => item.data).join()}</p>;
    }
    export function Other() {
      return <FanfareProvider client={client}><List /></FanfareProvider>;
    }
  `,
  'src/app.jsx': `
    import { createClient } from '@fanfare/client/json';
    import { Chat } from './chat.jsx';
    import { FanfareProvider } from './fanfare.js';
    import { Other } from './other.jsx';
    const newClient = () => createClient('${node.url}');
    export function App() {
      if (location.hash === '#other') return <Other />;
      return <FanfareProvider client={newClient}><h1>first</h1><Chat /></FanfareProvider>;
    }
  `,
  'src/main.jsx': `
    import { StrictMode } from 'react';
    import { createRoot } from 'react-dom/client';
    import { App } from './app.jsx';
    createRoot(document.getElementById('root')).render(<StrictMode><App /></StrictMode>);
  `,
});

describe('an app with Vite', () => {
  let node: TestNode;
  let browser: Browser;
  let project: Project;
  beforeAll(async () => {
    node = await startNode({});
    browser = await launchBrowser();
    project = await Project.create(packages, files(node));
  });
  afterAll(async () => {
    await browser?.close();
    await project?.[Symbol.asyncDispose]();
    await node?.[Symbol.asyncDispose]();
  });

  async function visit(url: string): Promise<AsyncDisposable & Pick<Tab, 'sent' | 'problems'> & { page: Page }> {
    const page = await browser.newPage();
    const records = watch(page);
    await page.goto(url);
    return { ...records, page, [Symbol.asyncDispose]: () => page.close() };
  }

  const shows = (page: Page, text: string): Promise<void> =>
    expect.poll(async () => (await page.locator('body').innerText()).replace(/\s+/g, ' ').trim()).toBe(text);

  it('keeps its connection, subscription and data through hot reloads', async () => {
    await using server = await project.serve('vite', '--host', '127.0.0.1', '--port', '0');
    await using publisher = createClient(node.url);
    await using tab = await visit(server.url);
    await shows(tab.page, 'first one subscribed total 0');
    await tab.page.evaluate('window.isSamePage = true');
    await publisher.publish('numbers', 1);
    await shows(tab.page, 'first one subscribed 1 total 1');
    // A component.
    await project.edit('src/chat.jsx', 'one', 'two');
    await shows(tab.page, 'first two subscribed 1 total 1');
    await publisher.publish('numbers', 2);
    await shows(tab.page, 'first two subscribed 1,2 total 3');
    await project.edit('src/chat.jsx', 'two', 'three');
    await shows(tab.page, 'first three subscribed 1,2 total 3');
    // The component that creates the client.
    await project.edit('src/app.jsx', 'first', 'second');
    await shows(tab.page, 'second three subscribed 1,2 total 3');
    // A module that is not a component: the state begins again with the new function.
    await project.edit('src/sum.js', 'state + data', 'state + 10 * data');
    await shows(tab.page, 'second three subscribed 1,2 total 30');
    await publisher.publish('numbers', 3);
    await shows(tab.page, 'second three subscribed 1,2,3 total 60');
    expect(await tab.page.evaluate('window.isSamePage')).toBe(true);
    expect(['connect', 'subscribe', 'unsubscribe'].map((type) => tab.sent(type as 'connect'))).toEqual([1, 1, 0]);
    expect(await node.metric('fanfare_subscriptions')).toBe(1);
    expect(tab.problems).toEqual([]);
  });

  it('keeps a client of a module through hot reloads', async () => {
    await using server = await project.serve('vite', '--host', '127.0.0.1', '--port', '0');
    await using publisher = createClient(node.url);
    await using tab = await visit(`${server.url}/#other`);
    await shows(tab.page, 'other client subscribed');
    await tab.page.evaluate('window.isSamePage = true');
    await publisher.publish('numbers', 1);
    await shows(tab.page, 'other client subscribed 1');
    for (const [before, after] of [
      ['client', 'second'],
      ['second', 'third'],
    ] as const) {
      await project.edit('src/client.js', `'${before}'`, `'${after}'`);
      await shows(tab.page, `other ${after} subscribed 1`);
    }
    await publisher.publish('numbers', 2);
    await shows(tab.page, 'other third subscribed 1,2');
    expect(await tab.page.evaluate('window.isSamePage')).toBe(true);
    expect(['connect', 'subscribe', 'unsubscribe'].map((type) => tab.sent(type as 'connect'))).toEqual([1, 1, 0]);
    expect(tab.problems).toEqual([]);
  });

  it('works as a production build', async () => {
    await project.run('vite', 'build');
    await using server = await project.serve('vite', 'preview', '--host', '127.0.0.1', '--port', '0');
    await using publisher = createClient(node.url);
    await using tab = await visit(server.url);
    await expect.poll(() => tab.page.locator('p').innerText()).toContain('subscribed');
    await publisher.publish('numbers', 7);
    await expect.poll(() => tab.page.locator('p').innerText()).toContain('subscribed 7');
    expect(['connect', 'subscribe', 'unsubscribe'].map((type) => tab.sent(type as 'connect'))).toEqual([1, 1, 0]);
    expect(tab.problems).toEqual([]);
  });
});

it('works with React 18', async () => {
  await using node = await startNode({});
  await using project = await Project.create(
    { ...packages, react: '18.3.1', 'react-dom': '18.3.1' },
    {
      ...files(node),
      'src/chat.jsx': `
        import { flush } from '@fanfare/react/testing';
        import { useConnection, useTopic } from './fanfare.js';
        window.flush = flush;
        export function Chat() {
          return <p>{useConnection().name} {useTopic('numbers').data}</p>;
        }
      `,
    },
  );
  await using server = await project.serve('vite', '--host', '127.0.0.1', '--port', '0');
  await using publisher = createClient(node.url);
  await using browser = await launchBrowser();
  const page = await browser.newPage();
  const { problems, sent } = watch(page);
  await page.goto(server.url);
  await expect.poll(() => page.locator('p').innerText()).toBe('connected');
  await publisher.publish('numbers', 1);
  await expect.poll(() => page.locator('p').innerText()).toBe('connected 1');
  await page.evaluate('window.IS_REACT_ACT_ENVIRONMENT = true');
  await publisher.publish('numbers', 2);
  await expect
    .poll(async () => {
      await page.evaluate('window.flush()');
      return page.locator('p').innerText();
    })
    .toBe('connected 2');
  expect(sent('subscribe')).toBe(1);
  expect(problems).toEqual([]);
});
