/**
 * Makes docs/images/dashboard.png: `npm run dashboard`. It runs docker-compose.yml as processes, with its demo, for two
 * minutes. A node drains after 40 s and is back after 80 s.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { it } from 'vitest';
import { launchBrowser } from '../chromium.js';
import { dashboardPage } from './dashboard-page.js';
import { root } from './image.js';
import { PrometheusApi, readDashboard } from './prometheus.js';
import { Topology } from './topology.js';

const partMs = 40_000;

it('the picture of the dashboard is drawn', async () => {
  await using topology = await Topology.start({ without: ['grafana'] });
  await topology.becomesHealthy('prometheus');
  const prometheus = new PrometheusApi(`http://${topology.address('prometheus', 9_090)}`);
  const from = Math.ceil(Date.now() / 1_000);
  await delay(partMs);
  await topology.child('fanfare-2').stop(partMs);
  await delay(from * 1_000 + 2 * partMs - Date.now());
  await topology.startService('fanfare-2');
  await delay(partMs);
  const to = Math.floor(Date.now() / 1_000);
  const names = [1, 2, 3].map((number) => [topology.address(`fanfare-${number}`, 8_081), `fanfare-${number}`] as const);
  // The rows of Redis and of security are flat lines here, and the picture should be small.
  const dashboard = readDashboard();
  const end = dashboard.panels.findIndex(({ title }) => title === 'Redis');
  const shown = { ...dashboard, panels: dashboard.panels.slice(0, end) };
  let page = await dashboardPage(shown, prometheus, { from, to });
  for (const [address, name] of names) page = page.replaceAll(address, name);
  const browser = await launchBrowser();
  try {
    const tab = await browser.newPage({ viewport: { width: 1_600, height: 900 }, deviceScaleFactor: 0.7 });
    await tab.setContent(page);
    await mkdir(join(root, 'docs/images'), { recursive: true });
    await tab.screenshot({ path: join(root, 'docs/images/dashboard.png'), fullPage: true });
  } finally {
    await browser.close();
  }
}, 300_000);
