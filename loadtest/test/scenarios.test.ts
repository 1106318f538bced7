/** Every scenario, for a second each: it runs, and nothing is lost. */
import { startNode } from '@fanfare/local-cluster';
import { expect, it } from 'vitest';
import { parseLoad } from '../src/command-line/load-command-line.js';
import { carryOutRuns, type LoadSettings } from '../src/runs/load-command.js';
import { run } from '../src/scenarios/scenario.js';
import { scenarios } from '../src/scenarios/scenarios.js';
import { quiet, shortSettings as settings, shortRuns } from './short-runs.js';

// In parallel, because durations do not matter.
it.concurrent.each(Object.keys(scenarios))('the scenario %s loses nothing', async (name) => {
  for (const result of await carryOutRuns(shortRuns(name), settings, quiet)) {
    const { lost, repeated, foreign, reported, deliveries, workload, published } = result;
    expect({ lost, repeated, foreign, reported }).toEqual({ lost: 0, repeated: 0, foreign: 0, reported: 0 });
    if (workload.perSecond === 0) continue;
    expect(published).toBeGreaterThan(0);
    if (workload.subscribers > 0) expect(deliveries).toBeGreaterThan(0);
  }
});

function runsOf([name = '', ...args]: readonly string[]) {
  const request = parseLoad(name, args);
  return request.name === 'load' ? request.runs : [];
}

async function runShort(name: string, other: Partial<LoadSettings>) {
  return await carryOutRuns(shortRuns(name), { ...settings, ...other }, quiet);
}

it.concurrent('a load runs next to raw uWebSockets, with the typed client, and against a running broker', async () => {
  const [ours, raw] = await runShort('fan-out', { servers: ['fanfare', 'raw'] });
  expect(raw?.deliveries).toBe(ours?.deliveries);
  const [typed] = await runShort('many-to-many', { isTyped: true });
  expect(typed).toMatchObject({ lost: 0, repeated: 0, server: 'fanfare, typed client' });
  await using node = await startNode();
  const [elsewhere] = await runShort('fan-out', { url: node.url, encoding: 'json' });
  expect(elsewhere).toMatchObject({ lost: 0, repeated: 0, serverCpuUs: null, server: 'the broker at the URL' });
  expect(elsewhere?.deliveries).toBe(ours?.deliveries);
  const unseen = { serverCpu: null, redisCpu: null, serverRssBytes: null };
  expect(elsewhere?.moments[0]).toMatchObject(unseen);
});

it.concurrent('a load reports lost publications, and that its figures are invalid', async () => {
  // At level fast, a client misses what is published while it is away, and gets a gap event.
  const runs = shortRuns('absence');
  const env = { FANFARE_TOPICS: '{">":{"level":"fast"}}' };
  const [result] = await carryOutRuns(
    runs.map((run) => ({ ...run, env })),
    settings,
    quiet,
  );
  expect(result?.lost).toBeGreaterThan(0);
  expect(result?.reported).toBeGreaterThan(0);
  expect(result?.complaints).toContainEqual(
    expect.stringMatching(/deliveries are missing; subscribers were notified \d+ times\./),
  );
});

it.concurrent('a storm breaks the requested share of connections with any number of generators', async () => {
  const runs = runsOf(['storm', '--subscribers', '10', '--share', '0.1', '--seconds', '1']);
  const [result] = await carryOutRuns(runs, { ...settings, generators: 4 }, quiet);
  expect(result?.label).toBe('1 of 10 connections break');
  expect(result?.back.count).toBe(1);
});

it.concurrent('a stall warns if a client loses its connection that did not stop reading', async () => {
  // A frame of 70 kB is too large for this node: it closes the connection of the publisher.
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
