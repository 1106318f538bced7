/**
 * docs/reference/, a table of docs/guarantees.md and one Kubernetes file are generated from declarations in the code; `npm run docs` writes them.
 * Links and paths in the pages must exist.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { logEvents } from '../broker/src/observe/log.js';
import { Metrics, workerMetrics } from '../broker/src/observe/metrics.js';
import { resultParts } from '../loadtest/src/load/result.js';
import { logEventsPage, metricsPage, settingsPage } from './reference/broker-reference.js';
import { cliPage } from './reference/cli-reference.js';
import { loadtestPage } from './reference/loadtest-reference.js';
import { safeguardsPage } from './reference/safeguards-reference.js';
import { guaranteesPage } from './reference/verify-reference.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = join(root, 'broker/src');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** The alert rules as a Kubernetes object: the same text, indented. */
function prometheusRule(): string {
  const spec = read('monitoring/prometheus/alerts.yml').replace(/^(?=.)/gm, '  ');
  const head = '# Generated from monitoring/prometheus/alerts.yml by `npm run docs`.';
  return `${head}\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: fanfare\nspec:\n${spec}`;
}

describe('generated pages', () => {
  it.each([
    ['docs/reference/settings.md', settingsPage],
    ['docs/reference/metrics.md', metricsPage],
    ['docs/reference/log-events.md', logEventsPage],
    ['docs/reference/loadtest.md', loadtestPage],
    ['docs/reference/cli.md', cliPage],
    ['docs/reference/safeguards.md', safeguardsPage],
    ['docs/guarantees.md', () => guaranteesPage(read('docs/guarantees.md'))],
    ['k8s/components/prometheus-rule/prometheus-rule.yaml', prometheusRule],
  ])('%s matches the declarations in the code', async (file, generate) => {
    await expect(generate()).toMatchFileSnapshot(join(root, file));
  });
});

describe('the declarations', () => {
  it('describe every field of a result file', () => {
    const silent = resultParts.flatMap(([, { shape }]) =>
      Object.entries(shape).filter(([, schema]) => (schema.description ?? '') === ''),
    );
    expect(silent.map(([field]) => field)).toEqual([]);
  });

  it('contain every metric that a node exposes', async () => {
    const metrics = new Metrics();
    metrics.read({
      connections: () => 0,
      eventStreams: () => 0,
      heldPolls: () => 0,
      maxConnections: () => 0,
      ready: () => true,
      authRefused: () => false,
      draining: () => false,
      memoryLimitBytes: () => 0,
      redisOutputBufferBytes: () => 0,
      subscriptions: () => 0,
      topics: () => 0,
      relayConnected: () => true,
      nodes: () => 1,
      flushWindowSeconds: () => 0,
      certificateExpirySeconds: () => 0,
      unauthenticated: () => 0,
      bufferedBytes: () => 0,
      revocations: () => 0,
      revocationLagSeconds: () => 0,
    });
    metrics.readReasons(['draining'], () => null);
    metrics.readShards(() => []);
    const ofNode = [...(await metrics.text()).matchAll(/^# TYPE (fanfare_\w+)/gm)].map((match) => match[1]);
    metrics.close();
    const exposed = [...ofNode, ...Object.values(workerMetrics).map(([name]) => `fanfare_${name}`)];
    const listed = [...metricsPage().matchAll(/^\| `(fanfare_\w+)`/gm)].map((match) => match[1]);
    expect(exposed.toSorted()).toEqual(listed.toSorted());
  });

  it('contain exactly the events that the code logs', () => {
    const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
    const text = files.map((file) => read(join('broker/src', file))).join('\n');
    const logged = new Set([...text.matchAll(/\{ event: '(\w+)'/g)].map((match) => match[1]));
    expect([...logged].toSorted()).toEqual(Object.keys(logEvents).toSorted());
  });
});

const tracked = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
  .split('\0')
  .filter((file) => existsSync(join(root, file)));
const pages = tracked.filter((file) => file.endsWith('.md') && !file.startsWith('findings/'));
const folders = [...new Set(tracked.filter((file) => file.includes('/')).map((file) => file.split('/')[0]))].join('|');

/** The anchors of a page's headings, as GitHub derives them. */
function anchorsOf(page: string): string[] {
  const headings = [...withoutCode(read(page)).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  return headings.map((heading) =>
    heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function withoutCode(text: string): string {
  return text.replace(/^```[\s\S]*?^```/gm, '');
}

describe.each(pages)('%s', (page) => {
  it('links to pages and headings that exist', () => {
    const links = [...withoutCode(read(page)).matchAll(/\]\((?!\w+:)([^)\s#]*)(?:#([^)\s]*))?\)/g)];
    const broken = links.filter(([, path = '', anchor]) => {
      const goal = path === '' ? page : join(dirname(page), path);
      if (!existsSync(join(root, goal))) return true;
      return anchor !== undefined && goal.endsWith('.md') && !anchorsOf(goal).includes(anchor);
    });
    expect(broken.map(([link]) => link)).toEqual([]);
  });

  it('names paths that exist', () => {
    const named = read(page).matchAll(new RegExp(`(?<![\\w./:@~-])(?:${folders})/[\\w./-]*[\\w]`, 'g'));
    // Build output is not in the repository.
    const paths = [...named].map(([path]) => path.replace(/\/dist\/(.*)\.js$/, '/src/$1.ts'));
    const workspace = page.split('/')[0] ?? '';
    const missing = paths.filter((path) => ['', workspace].every((folder) => !existsSync(join(root, folder, path))));
    expect(missing).toEqual([]);
  });
});

it('code, manifests and dashboards refer to pages that exist', () => {
  const others = tracked.filter((file) => /\.(?:ts|js|ya?ml|json|conf)$/.test(file) && !file.includes('package-lock'));
  const missing = others.flatMap((file) =>
    [...read(file).matchAll(/(?<![\w./:-])docs\/[\w/-]+\.md/g)]
      .filter(([path]) => !existsSync(join(root, path)))
      .map(([path]) => `${file}: ${path}`),
  );
  expect(missing).toEqual([]);
});

// A wrong name would have no effect, and nobody would notice.
it.each(['vitest.config.ts', 'vitest.tools.config.ts'])('%s names test files that exist', (config) => {
  const named = [...read(config).matchAll(/'([\w./-]+\.test\.ts)'/g)].map(([, file = '']) => file);
  expect(named).not.toEqual([]);
  expect(named.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});

it('no text contains the marks of an unresolved merge', () => {
  const isText = (file: string): boolean => /\.(?:ts|js|mjs|sh|lua|md|ya?ml|json|conf)$/.test(file);
  expect(tracked.filter((file) => isText(file) && /^(?:<{7}|>{7}) /m.test(read(file)))).toEqual([]);
});
