/** The page of charts: what it shows, what it leaves out, and the errors for invalid files. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { mergeHistograms } from '@fanfare/kit/histogram';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { hasBrowser, launchBrowser } from '../../test/chromium.js';
import { describeCommand, parseLoad, parseReport } from '../src/command-line/load-command-line.js';
import { type LoadResult, type ResultFile, resultVersion } from '../src/load/result.js';
import { parseResultFile } from '../src/load/result-file.js';
import { type Evidence, findComplaints, validityRules } from '../src/load/validity.js';
import { coursesOf } from '../src/report/course-figures.js';
import { sectionsOf } from '../src/report/group.js';
import { percentilePoints } from '../src/report/latency-figure.js';
import { reportPage } from '../src/report/report-page.js';
import { latency, moment, result } from './results.js';

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));

function resultFile(results: readonly LoadResult[]): ResultFile {
  const startedAt = '2026-11-24T12:00:00.000Z';
  const [machine, command] = ['a machine <b>', 'npm run loadtest'];
  return { version: resultVersion, startedAt, machine, command, results, searches: [] };
}

function named(name: string, results: readonly LoadResult[]) {
  return { ...resultFile(results), name };
}

const fanOut = [100, 1_000].flatMap((subscribers) =>
  ['fanfare', 'raw'].flatMap((server) =>
    [1, 2].map((round) =>
      result({
        label: `${subscribers} subscribers`,
        server,
        deliveries: 40 * subscribers,
        serverCpuUsPerDelivery: round + 0.25,
        workload: { subscribers },
        // raw with 1,000 subscribers has no valid round; fanfare with 100 has only the first.
        complaints:
          subscribers === 1_000
            ? server === 'raw'
              ? ['Too <late>.']
              : []
            : server === 'fanfare' && round === 2
              ? ['Lost.']
              : [],
      }),
    ),
  ),
);

const storm = result({
  scenario: 'storm',
  label: '100 of 100 connections break',
  back: latency(1_000, 2_000, 4_560),
  workload: { seconds: 2, disturbances: [{ name: 'storm', atSeconds: 0.4, share: 1 }] },
  moments: [moment(0.5, 100), moment(1, 20), moment(1.5, 100), moment(2, 100)],
});

describe('results on one page', () => {
  it('merge rounds by adding counts, never by averaging percentiles', () => {
    const quick = Array.from({ length: 990 }, () => 1_000);
    const slow = Array.from({ length: 10 }, () => 100_000);
    const merged = mergeHistograms([latency(...quick).histogram, latency(...slow).histogram]);
    expect(merged.totalCount).toBe(1_000);
    expect(merged.getValueAtPercentile(99)).toBe(1_000);
    expect(merged.getValueAtPercentile(99.5)).toBeGreaterThan(99_000);
    const points = percentilePoints(merged);
    expect(points[0]).toEqual({ x: 1, y: 1 });
    expect(points.at(-1)?.x).toBe(1_000);
    expect(points.at(-1)?.y).toBeCloseTo(100, 0);
  });

  it('leave out invalid rounds if there are valid ones', () => {
    const [section] = sectionsOf([named('one.json', fanOut)]);
    const shown = section?.groups.map(({ run, server, rounds, isValid, leftOut }) => [
      `${server}, ${run}`,
      rounds.length,
      isValid,
      leftOut,
    ]);
    expect(shown).toEqual([
      ['fanfare, 100 subscribers', 1, true, 1],
      ['raw, 100 subscribers', 2, true, 0],
      ['fanfare, 1000 subscribers', 2, true, 0],
      ['raw, 1000 subscribers', 2, false, 0],
    ]);
  });

  it('keep the same run of several files apart, and put different runs side by side', () => {
    const sections = sectionsOf([named('before.json', [result({})]), named('after.json', [result({}), storm])]);
    expect(sections.map(({ scenario, runs }) => [scenario, runs])).toEqual([
      ['fan-out', ['100 subscribers (before.json)', '100 subscribers (after.json)']],
      ['storm', ['100 of 100 connections break']],
    ]);
  });

  it('have only the charts for which there is data', async () => {
    const elsewhere = result({ serverCpuUs: null, serverCpuUsPerDelivery: null, serverRssBytes: null });
    const page = await reportPage([named('', [elsewhere])]);
    expect([...page.matchAll(/<figure data-chart="([^"]*)"/g)].map(([, id]) => id)).toEqual(['latency-fan-out-0']);
  });

  it('have no CPU line for a server whose CPU is unknown, even next to one whose CPU is known', async () => {
    const moments = storm.moments.map((each) => ({ ...each, serverCpu: null, serverRssBytes: null }));
    const elsewhere = { ...storm, server: 'the broker at the URL', serverCpuUs: null, serverRssBytes: null, moments };
    const [section] = sectionsOf([named('', [storm, elsewhere])]);
    const charts = section === undefined ? [] : coursesOf(section).flatMap(({ figures }) => figures);
    const servers = charts.map(({ chart: { title, series } }) => [title, series.map(({ name }) => name)]);
    expect(Object.fromEntries(servers)).toMatchObject({
      Connected: ['fanfare', 'the broker at the URL'],
      'Server CPU': ['fanfare'],
    });
  });

  it('include what a search has found', async () => {
    const found = {
      scenario: 'fan-out',
      label: 'many',
      server: 'raw',
      highestPerSecond: 40,
      limitedBy: 'server',
    } as const;
    const file = { ...named('', [result({})]), searches: [{ ...found, says: '40 held, <b>41</b> did not.' }] };
    expect(await reportPage([file])).toContain('<li>40 held, &lt;b&gt;41&lt;/b&gt; did not.</li>');
  });

  it('escape the text of the results', async () => {
    const page = await reportPage([named('', [result({ label: '</script><script>alert(1)</script>' })])]);
    expect(page).not.toContain('<script>alert');
    expect(page.match(/<\/script>/g)).toHaveLength(3);
  });
});

describe.skipIf(!hasBrowser)('the page in a browser', () => {
  let folder: string;
  let browser: Browser;
  let page: Page;
  const problems: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fanfare-report-'));
    await writeFile(join(folder, 'result.json'), JSON.stringify(resultFile([...fanOut, storm])));
    const args = [main, 'report', join(folder, 'result.json'), '--html', join(folder, 'report.html')];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: `Wrote ${join(folder, 'report.html')}.\n` });
    browser = await launchBrowser();
    page = await browser.newPage();
    page.on('pageerror', ({ message }) => problems.push(message));
    page.on('console', (message) => problems.push(message.text()));
    page.on('request', (request) => {
      if (!/^(file|data):/.test(request.url())) problems.push(`It requests ${request.url()}.`);
    });
    await page.goto(pathToFileURL(join(folder, 'report.html')).href);
    await page.locator('html[data-drawn]').waitFor({ state: 'attached' });
  });

  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('draws every chart without errors', async () => {
    const ids = await page
      .locator('[data-chart]')
      .evaluateAll((all) => all.map((each) => each.getAttribute('data-chart')));
    expect(ids).toEqual([
      'throughput-fan-out',
      'cpu-fan-out',
      'memory-fan-out',
      'latency-fan-out-0',
      'cpu-storm',
      'latency-storm-0',
      'back-storm-0',
      'course-storm-0-published',
      'course-storm-0-delivered',
      'course-storm-0-connected',
      'course-storm-0-cpu',
    ]);
    expect(await page.locator('html').getAttribute('data-drawn')).toBe(String(ids.length));
    const isInked = await page.locator('canvas').evaluateAll((all) =>
      all.map((each) => {
        const canvas = each as HTMLCanvasElement;
        const pixels = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
        return pixels.some((value) => value > 0);
      }),
    );
    expect(isInked).toEqual(ids.map(() => true));
    expect(problems).toEqual([]);
  });

  it('shows the machine, the command, and the numbers', async () => {
    const head = await page.locator('header').textContent();
    for (const text of ['a machine <b>', 'npm run loadtest', '2026-11-24 12:00:00 UTC']) expect(head).toContain(text);
    const numbers = await page.locator('[data-chart="back-storm-0"] .numbers').textContent();
    expect(numbers).toContain('4.56');
    expect(await page.locator('#results caption').allTextContents()).toEqual(['fan-out', 'storm']);
    expect(await page.locator('#results tbody tr').count()).toBe(fanOut.length + 1);
    expect(await page.locator('#results').innerText()).toContain('2.00 / 3.00 / 3.00');
  });

  it('marks invalid results', async () => {
    expect(await page.locator('.verdict').textContent()).toContain('3 results are INVALID, of 9.');
    expect(await page.locator('.verdict li').allTextContents()).toContain('fan-out 1000 subscribers, raw: Too <late>.');
    expect(await page.locator('#results tr.invalid').count()).toBe(3);
    for (const id of ['latency-fan-out-0', 'throughput-fan-out', 'cpu-fan-out', 'memory-fan-out']) {
      const figure = page.locator(`[data-chart="${id}"]`);
      const names = await figure.locator('.legend button').allTextContents();
      expect(names.filter((name) => name.startsWith('INVALID: raw'))).not.toEqual([]);
      expect(await figure.locator('.notes li').allTextContents()).toEqual([
        '100 subscribers, fanfare: 1 of 2 rounds left out, invalid.',
        '1000 subscribers, raw: INVALID. Do not use the figures; see the warnings above.',
      ]);
    }
  });

  it('works with the keyboard, in light and dark mode', async () => {
    const canvas = page.locator('[data-chart="cpu-fan-out"] canvas');
    const picture = (): Promise<string> => canvas.evaluate((each) => (each as HTMLCanvasElement).toDataURL());
    const before = await picture();
    const button = page.locator('[data-chart="cpu-fan-out"] .legend button').first();
    await button.press('Enter');
    expect(await button.getAttribute('aria-pressed')).toBe('false');
    expect(await picture()).not.toBe(before);
    await button.press('Enter');
    expect(await picture()).toBe(before);
    await page.emulateMedia({ colorScheme: 'dark' });
    await expect.poll(picture).not.toBe(before);
    await page.emulateMedia({ colorScheme: 'light' });
    expect(problems).toEqual([]);
  });
});

describe('a result file', () => {
  it('is read as it was written, and unknown fields are ignored', () => {
    const file = resultFile([storm]);
    expect(parseResultFile('r.json', JSON.stringify({ ...file, weather: 'fine' }))).toEqual(file);
  });

  it('from a version with other scenario names is still read', () => {
    const { scenario: _, ...old } = storm;
    const text = JSON.stringify({ ...resultFile([]), results: [old] });
    expect(parseResultFile('r.json', text).results[0]?.scenario).toBe('');
  });

  it('of version 1, which had 0 for unknown values, is still read', () => {
    const elsewhere = { ...storm, serverCpuUs: null, serverRssBytes: null };
    const old = { ...resultFile([]), version: 1, results: [storm, elsewhere] };
    const { version, results } = parseResultFile('r.json', JSON.stringify(old));
    expect(version).toBe(resultVersion);
    expect(results.map(({ moments: [first] }) => first)).toMatchObject([
      { serverCpu: 0.1, redisCpu: null, serverRssBytes: 80e6 },
      { serverCpu: null, redisCpu: null, serverRssBytes: null },
    ]);
  });

  it.each([
    ['text', 'version: 1', 'r.json is not JSON.'],
    ['another list', '[1]', 'r.json is not a result file of a scenario: it has no version.'],
    ['of the studies in depth', '{"samples":[]}', 'r.json is not a result file of a scenario: it has no version.'],
    [
      'of another version',
      '{"version":3,"results":[]}',
      'r.json has version 3 of the schema; this program reads 1 and 2.',
    ],
    ['without results', JSON.stringify(resultFile([])), 'r.json holds no results.'],
    [
      'with a wrong field',
      JSON.stringify({ ...resultFile([]), results: [{ ...storm, server: 7 }] }),
      'r.json is damaged: results.0.server: Invalid input: expected string, received number.',
    ],
  ])('that is invalid is refused: %s', (_, text, sentence) => {
    expect(() => parseResultFile('r.json', text)).toThrow(new Error(sentence));
  });
});

describe('the command line of the report', () => {
  it.each([
    [[], 'Name the result files, for example: npm run loadtest -- report result.json --html report.html.'],
    [['r.json'], 'Name the page with --html, for example: npm run loadtest -- report result.json --html report.html.'],
    [['r.json', '--json', 'x'], 'Unknown option --json.'],
  ])('refuse report %j', (args, sentence) => {
    expect(() => parseReport(args)).toThrow(sentence);
  });

  it.each([
    [['report', '/nowhere.json', '--html', '/tmp/x.html'], 1, /^\/nowhere.json cannot be read: ENOENT.*\n$/],
    [['report', 'r.json', '--html', '/nowhere/x.html'], 2, /^\/nowhere\/x.html cannot be written: there is no folder/],
    [['idle', '--html', '/nowhere/x.html'], 2, /^\/nowhere\/x.html cannot be written: there is no folder/],
  ])('ends %j with code %i and one sentence', (args, code, sentence) => {
    const { status, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
    expect(stderr).toMatch(sentence);
    expect(status).toBe(code);
  });

  it('keeps a token out of the results', () => {
    expect(describeCommand(['idle', '--token', 'secret', '--token=secret', '--seconds', '1'])).toBe(
      'npm run loadtest -- idle --token *** --token=*** --seconds 1',
    );
  });
});

it('every warning has an explanation', () => {
  const fine: Evidence = {
    subscribers: 5,
    away: 0,
    planned: 10,
    published: 10,
    deliveries: 10,
    lost: 0,
    lostInWarmUp: 0,
    repeated: 0,
    foreign: 0,
    reported: 0,
    generatorCpu: 0.1,
    slipP99Us: 10,
    failures: {},
    deliveriesOfShards: [4, 6],
    turns: { planned: 10, done: 9 },
    breaksConnections: false,
  };
  expect(findComplaints(fine)).toEqual([]);
  expect(findComplaints({ ...fine, published: 0, deliveries: 0, deliveriesOfShards: [] })).toEqual([
    'Nothing was published.',
  ]);
  // Idle subscribers, and topics without subscribers.
  expect(findComplaints({ ...fine, planned: 0, published: 0, deliveries: 0, deliveriesOfShards: [] })).toEqual([]);
  expect(findComplaints({ ...fine, deliveries: 0, deliveriesOfShards: [] })).toEqual([]);
  const said = [
    { published: 0 },
    { deliveries: 0, deliveriesOfShards: [0, 0] },
    { away: 2, turns: { planned: 100, done: 90 } },
    { lost: 3, lostInWarmUp: 4 },
    { lost: 3, failures: { 'a publisher: The server closed the connection.': 1 } },
    { lost: 3, reported: 1, deliveriesOfShards: [5, 5] },
    { repeated: 1, foreign: 2 },
    { generatorCpu: 0.9, slipP99Us: 60_000 },
    { deliveriesOfShards: [0, 10], failures: { 'The server closed the connection.': 2 } },
  ].flatMap((evidence) => findComplaints({ ...fine, ...evidence }));
  const explains = (rule: string, warning: string): boolean =>
    new RegExp(`^${rule.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('…', '.+')}$`).test(warning);
  for (const warning of said) expect(validityRules.filter(({ says }) => explains(says, warning))).toHaveLength(1);
  for (const { says } of validityRules) expect(said.filter((warning) => explains(says, warning))).not.toEqual([]);
});

it('the Kubernetes Job of the load test has a valid plan and valid options', async () => {
  const text = readFileSync(new URL('../../k8s/components/load-test/job.yaml', import.meta.url), 'utf8');
  const [configMap, job] = parseAllDocuments(text).map((document) => document.toJS() as Manifest);
  expect([configMap?.kind, job?.kind]).toEqual(['ConfigMap', 'Job']);
  const { spec } = job?.spec?.template ?? {};
  expect(spec?.restartPolicy).toBe('Never');
  expect(spec?.volumes?.[0]?.configMap.name).toBe(configMap?.metadata.name);
  const [container] = spec?.containers ?? [];
  expect(container?.image).toBe('fanfare-loadtest:0.1.0');
  const folder = await mkdtemp(join(tmpdir(), 'fanfare-job-'));
  try {
    const file = join(folder, 'plan.yaml');
    await writeFile(file, configMap?.data?.['plan.yaml'] ?? '');
    const [name = '', path, ...args] = container?.args ?? [];
    expect([name, path]).toEqual(['plan', join(container?.volumeMounts?.[0]?.mountPath ?? '', 'plan.yaml')]);
    expect(parseLoad(name, [file, ...args])).toMatchObject({
      jsonFile: '-',
      settings: { url: 'ws://fanfare:8080/ws', rounds: 3 },
      runs: ['fan-out', 'fan-out', 'point-to-point', 'storm'].map((scenario) => ({ scenario })),
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly template: {
      readonly spec?: {
        readonly restartPolicy: string;
        readonly containers: readonly {
          readonly image: string;
          readonly args: readonly string[];
          readonly volumeMounts?: readonly { readonly mountPath: string }[];
        }[];
        readonly volumes?: readonly { readonly configMap: { readonly name: string } }[];
      };
    };
  };
}
