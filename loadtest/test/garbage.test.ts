/** Garbage collections of servers that run on Node: they are measured from outside, without a change to the server. */
import { Child } from '@fanfare/local-cluster';
import { describe, expect, it } from 'vitest';
import { GarbageMeter } from '../src/load/garbage-meter.js';
import { sumUp } from '../src/load/garbage-sums.js';
import { defaultWorkload, type Workload } from '../src/load/workload.js';
import { carryOutRuns } from '../src/runs/load-command.js';
import { run } from '../src/scenarios/scenario.js';
import { quiet, shortSettings } from './short-runs.js';

const deadline = (): AbortSignal => AbortSignal.timeout(60_000);

describe('what a process allocated', () => {
  const scavenge = (us: number, usedBefore: number, usedAfter: number) => {
    return { kind: 'Scavenge', us, usedBefore, usedAfter };
  };

  it('is the growth of the used heap between its collections, and before and after them', () => {
    const marking = { kind: 'MarkSweepCompact', us: 9_000, usedBefore: 500, usedAfter: 100 };
    expect(sumUp([scavenge(1_000, 400, 200), marking, scavenge(2_000, 150, 120)], 100, 130)).toEqual({
      scavenges: 2,
      pauses: 3,
      longestScavengeUs: 2_000,
      longestPauseUs: 9_000,
      pausedUs: 12_000,
      heapBytes: 300 + 300 + 50 + 10,
    });
  });

  it('does not shrink if the sweeper frees memory between collections', () => {
    expect(sumUp([scavenge(1_000, 50, 40)], 100, 30)).toMatchObject({ heapBytes: 0 });
    expect(sumUp([], 100, 130)).toEqual({
      ...{ scavenges: 0, pauses: 0, longestScavengeUs: 0, longestPauseUs: 0, pausedUs: 0 },
      heapBytes: 30,
    });
  });
});

it('a meter measures what a Node process does between its two requests', async () => {
  const megabyte = 1_048_576;
  // 32 MB in the heap and 8 MB outside, when it gets a signal.
  const program = `
    const kept = [];
    process.on('SIGUSR2', () => {
      for (let count = 0; count < 4096; count++) kept[count % 64] = new Array(1024).fill(count);
      kept.push(Buffer.alloc(8 * ${megabyte}));
      gc();
      console.log('done');
    });
    setInterval(() => {}, 1e6);
    console.log('ready');`;
  await using meter = await GarbageMeter.start();
  const command = [process.execPath, '--expose-gc', '--eval', program] as const;
  await using child = new Child({ command, env: { ...process.env, ...meter.env } });
  await child.find((line) => (line === 'ready' ? line : null), deadline());
  const processes = [
    { name: 'Redis', role: 'redis', pid: process.pid },
    { name: 'node 0', role: 'server', pid: child.pid },
  ] as const;

  await meter.begin(processes);
  process.kill(child.pid, 'SIGUSR2');
  await child.find((line) => (line === 'done' ? line : null), deadline());
  const [report, ...others] = (await meter.end(processes)) ?? [];
  expect(others).toEqual([]);
  expect(report?.process).toBe('node 0');
  expect(report?.scavenges).toBeGreaterThan(0);
  expect(report?.pauses).toBeGreaterThan(report?.scavenges ?? 0);
  expect(report?.longestPauseUs).toBeGreaterThan(0);
  expect(report?.pausedUs).toBeGreaterThan(report?.longestPauseUs ?? 0);
  expect(report?.heapBytes).toBeGreaterThan(32 * megabyte);
  expect(report?.heapBytes).toBeLessThan(40 * megabyte);
  // Memory that was freed meanwhile is missing, so this is a lower bound.
  expect(report?.bufferBytes).toBeGreaterThan(7.9 * megabyte);
  expect(report?.bufferBytes).toBeLessThan(10 * megabyte);

  // The next measurement begins with nothing.
  await meter.begin(processes);
  const [next] = (await meter.end(processes)) ?? [];
  expect(next?.heapBytes).toBeLessThan(megabyte);
});

it('a meter has no figures of programs that are not Node', async () => {
  await using meter = await GarbageMeter.start();
  await using child = new Child({ command: ['sleep', '1000'], env: { ...process.env, ...meter.env } });
  const processes = [{ name: 'node 0', role: 'server', pid: child.pid }] as const;
  await meter.begin(processes);
  expect(await meter.end(processes)).toBeNull();
});

it('a load across nodes reports the publishing and the receiving node, after earlier loads that it does not meet', async () => {
  const both = { subscriberServers: [0, 1], publisherServers: [0] };
  const earlier: Workload = { ...defaultWorkload, ...both, topics: 5, subscribers: 10 };
  const load = run(
    'short',
    { topics: 5, subscribers: 5, perSecond: 200, seconds: 0.5, publisherServers: [0], subscriberServers: [1] },
    {
      nodes: 2,
      before: [
        { ...earlier, topicPrefix: 'idle' },
        { ...earlier, topicPrefix: 'recent', perSecond: 500, burst: 5, seconds: 0.5 },
      ],
    },
  );
  const settings = { ...shortSettings, servers: ['fanfare-durable', 'ioredis'], generators: 1, garbage: true };
  const results = await carryOutRuns([load], settings, quiet);
  expect(results.map(({ server }) => server)).toEqual(settings.servers);
  for (const { garbage, published, deliveries, foreign, lost } of results) {
    expect({ foreign, lost }).toEqual({ foreign: 0, lost: 0 });
    expect(published).toBe(100);
    expect(deliveries).toBe(100);
    expect(garbage?.map((report) => report.process)).toEqual(['node 0', 'node 1']);
    for (const { heapBytes } of garbage ?? []) expect(heapBytes).toBeGreaterThan(0);
  }
  expect(results.flatMap(({ complaints }) => complaints.filter((text) => text.includes('before this one')))).toEqual(
    [],
  );
  const [without] = await carryOutRuns([load], { ...settings, servers: ['ioredis'], garbage: false }, quiet);
  expect(without?.garbage).toBeNull();
});
