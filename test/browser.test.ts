/** The bundles in a real browser, against a real node. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createClient } from '@fanfare/client';
import { describe, expect, it } from 'vitest';
import { startNode } from '../broker/test/harness.js';
import { bundle } from '../client/bundle.js';
import { hasBrowser, launchBrowser } from './chromium.js';

const page = (script: string): string => `<!doctype html><meta charset="utf-8"><title>Fanfare</title>
<pre id="log"></pre>
<script type="module">
import { createClient } from '/fanfare.js';
const client = createClient('${script}');
const log = (line) => { document.querySelector('#log').textContent += line + '\\n'; };
client.on('state', (state) => log('state ' + state.name));
const subscription = client.subscribe('news', ({ data }) => log('got ' + JSON.stringify(data)));
await subscription.ready;
log('subscribed');
await client.publish('news', { from: 'browser', bytes: 'ä€😀' });
log('published');
</script>`;

describe.skipIf(!hasBrowser)('in a browser', () => {
  it.each(['index', 'json'] as const)('the bundle of the entry "%s" publishes and subscribes', async (entry) => {
    await using node = await startNode({});
    const { code } = await bundle(entry, { minify: true });
    const server = createServer((request, response) => {
      const isScript = request.url === '/fanfare.js';
      response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html');
      response.end(isScript ? code : page(node.url));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const browser = await launchBrowser();
    try {
      await using client = createClient(node.url);
      const received: unknown[] = [];
      const subscription = client.subscribe('news', ({ data }) => received.push(data));
      await subscription.ready;
      const tab = await browser.newPage();
      const problems: string[] = [];
      tab.on('pageerror', (error) => problems.push(error.message));
      await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      await tab.getByText('published').waitFor();
      await client.publish('news', { from: 'node' });
      await tab.getByText('got {"from":"node"}').waitFor();
      const expected = { from: 'browser', bytes: 'ä€😀' };
      expect((await tab.locator('#log').textContent())?.trim().split('\n')).toEqual(
        expect.arrayContaining([
          'state connected',
          'subscribed',
          `got ${JSON.stringify(expected)}`,
          'published',
          'got {"from":"node"}',
        ]),
      );
      expect(received).toEqual([expected, { from: 'node' }]);
      expect(problems).toEqual([]);
    } finally {
      await browser.close();
      server.close();
    }
  });
});
