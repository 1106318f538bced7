/** Every scenario, for a second each: it runs, and nothing is lost. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startNode } from '@fanfare/local-cluster';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../src/flags.js';
import { carryOutRuns, type LoadSettings } from '../src/load-command.js';
import { parseLoad, readPlan } from '../src/load-command-line.js';
import { run } from '../src/scenarios/scenario.js';
import { scenarios } from '../src/scenarios/scenarios.js';
import { quiet, shortSettings as settings, shortRuns } from './short-runs.js';

// Side by side: how long anything takes is not looked at.
it.concurrent.each(Object.keys(scenarios))('the scenario %s loses nothing', { timeout: 60_000 }, async (name) => {
  for (const result of await carryOutRuns(shortRuns(name), settings, quiet)) {
    const { lost, repeated, foreign, told, deliveries, workload, published } = result;
    expect({ lost, repeated, foreign, told }).toEqual({ lost: 0, repeated: 0, foreign: 0, told: 0 });
    if (workload.perSecond === 0) continue;
    expect(published).toBeGreaterThan(0);
    expect(deliveries).toBeGreaterThan(0);
  }
});

async function runShort(name: string, other: Partial<LoadSettings>) {
  return await carryOutRuns(shortRuns(name), { ...settings, ...other }, quiet);
}

it.concurrent('runs beside raw uWebSockets, with the typed client, and against a broker that runs already', async () => {
  const [ours, raw] = await runShort('fan-out', { servers: ['fanfare', 'raw'] });
  expect(raw?.deliveries).toBe(ours?.deliveries);
  const [typed] = await runShort('many-to-many', { isTyped: true });
  expect(typed).toMatchObject({ lost: 0, repeated: 0, server: 'fanfare, typed client' });
  await using node = await startNode();
  const [elsewhere] = await runShort('fan-out', { url: node.url, encoding: 'json' });
  expect(elsewhere).toMatchObject({ lost: 0, repeated: 0, serverCpuUs: null, server: 'the broker at the URL' });
  expect(elsewhere?.deliveries).toBe(ours?.deliveries);
});

it.concurrent('says so where publications are lost, and that the figures say nothing', async () => {
  // Level fast: what is published while a client is away is gone, and it is told so.
  const runs = shortRuns('absence');
  const env = { FANFARE_TOPICS: '{">":{"level":"fast"}}' };
  const [result] = await carryOutRuns(
    runs.map((run) => ({ ...run, env })),
    settings,
    quiet,
  );
  expect(result?.lost).toBeGreaterThan(0);
  expect(result?.told).toBeGreaterThan(0);
  expect(result?.complaints).toContainEqual(
    expect.stringMatching(/deliveries were lost; subscribers were told \d+ times\./),
  );
});

it.concurrent('says so when others than those that are told to stop reading lose their connection', async () => {
  // A frame of 70 kB is more than this node takes: it cuts off the publisher.
  const cut = run('cut off', {
    subscribers: 4,
    perSecond: 20,
    publicationBytes: 70_000,
    warmUpSeconds: 0,
    seconds: 1,
    disturbances: [{ name: 'stall', atSeconds: 0.5, share: 0.25 }],
  });
  const [result] = await carryOutRuns([{ ...cut, env: {} }], { ...settings, generators: 1 }, quiet);
  expect(result?.complaints).toContainEqual(expect.stringMatching(/^1 times: a publisher: .*4501/));
});

it.concurrent('refuses a server that cannot do it', async () => {
  await expect(runShort('absence', { servers: ['raw'] })).rejects.toThrow(UsageError);
  await expect(runShort('fan-out', { url: 'ws://127.0.0.1:1/ws' })).rejects.toThrow(
    'There is no broker at ws://127.0.0.1:1/ws',
  );
});

describe('a plan', () => {
  it('is a list of scenarios with their options, in YAML or JSON', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fanfare-plan-'));
    try {
      const file = join(folder, 'plan.yaml');
      await writeFile(file, '- scenario: fan-out\n  subscribers: [10, 20]\n  rate: 5\n- scenario: storm\n');
      expect(readPlan(file).map(({ label, workload }) => [label, workload.perSecond])).toEqual([
        ['10 subscribers, 128 B', 5],
        ['20 subscribers, 128 B', 5],
        ['5000 of 5000 connections break', 100],
      ]);
      expect(parseLoad('plan', [file, '--rounds', '3'])).toMatchObject({ settings: { rounds: 3 } });
      for (const [text, sentence] of [
        ['{}', `The plan ${file} must be a list of scenarios.`],
        ['[{"rate": 5}]', `Item 1 of ${file}: It must name its scenario: "scenario: fan-out".`],
        ['- scenario: fan-out\n- scenario: pigeon', `Item 2 of ${file}: There is no scenario "pigeon"`],
        ['- scenario: fan-out\n  speed: 9', `Item 1 of ${file}: There is no option --speed here, only --subscribers`],
        [
          '- scenario: fan-out\n  rate: many',
          `Item 1 of ${file}: --rate must be a number from 0.1 to 100000, not "many".`,
        ],
      ] as const) {
        await writeFile(file, text);
        expect(() => readPlan(file)).toThrow(sentence);
      }
      expect(await readFile(file, 'utf8')).toContain('many');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
