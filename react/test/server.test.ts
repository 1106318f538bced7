/** Rendering on a server, and the first render of such a page in a browser. */
import { createClient } from '@fanfare/client';
import { createHooks } from '@fanfare/react';
import type { Browser } from 'playwright-core';
import { createElement, type ReactNode, StrictMode } from 'react';
import { renderToString } from 'react-dom/server';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { startNode } from '../../broker/test/harness.js';
import { hasBrowser, launchBrowser } from '../../test/chromium.js';
import { compile, open } from './site.js';

const { FanfareProvider, useConnection, useTopic } = createHooks<{ numbers: number }>();

let browser: Browser;
beforeAll(async () => {
  if (hasBrowser) browser = await launchBrowser();
});
afterAll(() => browser?.close());

/** The same components as in the page below. */
function Numbers(): ReactNode {
  const { data, status, position } = useTopic('numbers', { list: 10, last: 5 });
  return createElement('p', null, `${status} ${data.map((item) => item.data).join()} ${position?.offset}`);
}

function Connection(): ReactNode {
  const state = useConnection();
  return createElement('p', null, state.name);
}

function html(url: string): string {
  const client = () => createClient<{ numbers: number }>(url);
  const children = [createElement(Numbers, { key: 1 }), createElement(Connection, { key: 2 })];
  return renderToString(createElement(StrictMode, null, createElement(FanfareProvider, { client, children })));
}

it('a server renders without a connection, also if the URL is a path', async () => {
  await using node = await startNode({});
  const expected = '<p>subscribing  undefined</p><p>disconnected</p>';
  const random = vi.spyOn(crypto, 'getRandomValues');
  expect(html(node.url)).toBe(expected);
  expect(html('/ws')).toBe(expected);
  expect(await node.metric('fanfare_connections_opened_total')).toBe(0);
  // Next refuses to prerender a component that reads random values.
  expect(random).not.toHaveBeenCalled();
});

it.skipIf(!hasBrowser)('the browser continues from the HTML without a mismatch', async () => {
  await using node = await startNode({});
  await using publisher = createClient(node.url);
  await publisher.publish('numbers', 1);
  const program = `
    const { FanfareProvider, useConnection, useTopic } = createHooks();
    const Numbers = () => {
      const { data, status, position } = useTopic('numbers', { list: 10, last: 5 });
      return <p>{\`\${status} \${data.map((item) => item.data).join()} \${position?.offset}\`}</p>;
    };
    const Connection = () => <p>{useConnection().name}</p>;
    const client = createClient('${node.url}');
    // The browser has connected before React continues from the HTML of the server.
    await client.connect();
    hydrateRoot(document.getElementById('root'),
      <StrictMode><FanfareProvider client={client}><Numbers /><Connection /></FanfareProvider></StrictMode>);
  `;
  await using tab = await open(browser, await compile(program), html(node.url));
  await expect.poll(() => tab.text()).toBe('subscribed 1 1 connected');
  expect(tab.problems).toEqual([]);
  expect(tab.sent('subscribe')).toBe(1);
});
