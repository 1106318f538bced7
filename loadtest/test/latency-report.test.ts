/** The tables of the cases about latency. */
import { describe, expect, it } from 'vitest';
import { cases } from '../src/compare/cases.js';
import { recentBytes } from '../src/compare/latency-cases.js';
import { judgeTargets, latencySection } from '../src/compare/latency-report.js';
import type { GarbageReport } from '../src/load/result.js';
import { latency, result } from './results.js';

function garbage(process: string, heapBytes: number, longestPauseUs: number): GarbageReport {
  const longestScavengeUs = longestPauseUs / 2;
  return {
    process,
    scavenges: 3,
    pauses: 4,
    longestScavengeUs,
    longestPauseUs,
    pausedUs: 1,
    heapBytes,
    bufferBytes: 40,
  };
}

function measured(
  server: string,
  p99Us: number,
  other: Partial<Parameters<typeof result>[0]> & { round?: number } = {},
) {
  const { round = 1, ...rest } = other;
  const nodes = [garbage('node 0', 160_000, 8_000), garbage('node 1', 40_000, 4_000)];
  return { ...result({ label: '10,000/s', server, latency: latency(p99Us), garbage: nodes, ...rest }), round };
}

describe('the section about latency', () => {
  it('has the percentiles, pauses and allocations of each server, with an empty cell if it has none', () => {
    const results = [measured('fanfare', 4_000), measured('nats', 2_000, { garbage: null })];
    const page = latencySection({ name: 'latency', results });
    const [head, , ours, its] = page.split('\n').filter((line) => line.startsWith('|'));
    const cells = (line = '') => line.split('|').map((cell) => cell.trim());
    expect(cells(head)).toEqual([
      ...['', 'load', 'server', 'p50, ms', 'p99, ms', 'p99.9, ms', 'max, ms', 'longest pause, ms'],
      ...[
        'longest scavenge, ms',
        'scavenges',
        'heap, bytes',
        'buffers, bytes',
        'CPU per delivery, µs',
        'valid rounds',
        '',
      ],
    ]);
    expect(cells(ours)).toEqual([
      ...['', '10,000/s', 'fanfare', '4.00', '4.00', '4.00', '4.0', '8.0 / 4.0', '4.0 / 2.0', '3 / 3', '4000 / 1000'],
      ...['1 / 1', '2.00', '1 of 1', ''],
    ]);
    expect(cells(its)).toEqual([
      ...['', '10,000/s', 'nats', '2.00', '2.00', '2.00', '2.0', '', '', '', '', '', '2.00', '1 of 1', ''],
    ]);
  });

  it('compares with the targets of issue 15 within a round, and says which are not met', () => {
    const results = [
      measured('fanfare', 4_000),
      measured('socketio', 8_000),
      // A busy round: the ratio stays.
      measured('fanfare', 40_000, { round: 2 }),
      measured('socketio', 80_000, { round: 2 }),
      measured('fanfare', 4_000, { round: 3, complaints: ['no'] }),
    ];
    const found = judgeTargets('latency', results);
    expect(found.map(({ what }) => what)).toEqual([
      'p99, times Socket.IO',
      'p99.9, ms',
      'heap bytes per publication, publishing node',
      'heap bytes per publication, receiving node',
      'longest scavenge, publishing node, ms',
      'longest scavenge, receiving node, ms',
    ]);
    expect(found.map(({ median }) => Number(median.toFixed(1)))).toEqual([0.5, 22, 4_000, 1_000, 4, 2]);
    const page = latencySection({ name: 'latency', results });
    expect(page).toMatch(/\| 10,000\/s \| fanfare +\| p99, times Socket.IO +\| 0.8 +\| 0.50 +\| yes +\|/);
    expect(page).toMatch(/\| longest scavenge, publishing node, ms +\| 3 +\| 4.00 +\| NO +\|/);
    expect(page).toMatch(/\| heap bytes per publication, receiving node +\| 1000 +\| 1000 +\| yes +\|/);
  });

  it('compares the loads with much in memory with the one without', () => {
    const slow = [garbage('node 0', 1, 8_000), garbage('node 1', 1, 12_000)];
    const results = [
      measured('fanfare', 4_000, { label: 'nothing else' }),
      measured('fanfare', 4_200, { label: 'idle subscribers', garbage: slow }),
      measured('fanfare-durable', 4_000, { label: 'idle subscribers' }),
    ];
    const found = judgeTargets('latency-held', results);
    expect(found.map(({ load, what, median }) => [load, what, Number(median.toFixed(2))])).toEqual([
      ['idle subscribers', 'longest pause, relative to the run without other work', 1.5],
      ['idle subscribers', 'p99, relative to the run without other work', 1.05],
    ]);
  });
});

it('the load with recent publications fills the memory that it names, in topics of their own', () => {
  const load = cases['latency-held']?.runs.find(({ label }) => label === 'recent publications');
  const [recent] = load?.before ?? [];
  expect(recent?.topicPrefix).not.toBe(load?.workload.topicPrefix);
  const { perSecond = 0, seconds = 0, publicationBytes = 0, topics = 0, subscribers = 0 } = recent ?? {};
  expect(perSecond * seconds * (publicationBytes + 200)).toBeGreaterThanOrEqual(recentBytes);
  // A history keeps 500, so no topic may get more.
  expect(Math.round(perSecond * seconds)).toBe(500 * topics);
  expect(subscribers).toBe(2 * topics);
});
