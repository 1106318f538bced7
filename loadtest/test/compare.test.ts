/** The comparison of servers: its statistics, and a short run. */

import { UsageError } from '@fanfare/kit/options';
import { describe, expect, it } from 'vitest';
import { cases } from '../src/compare/cases.js';
import { compare } from '../src/compare/compare.js';
import { parseCompare } from '../src/compare/compare-command-line.js';
import { reportComparison } from '../src/compare/compare-report.js';
import { figuresOf, guardedCases, judge, readBaseline } from '../src/compare/guard.js';
import { coverageOf, estimate } from '../src/compare/statistics.js';
import { latency, result } from './results.js';

const quiet = { line: () => {}, moment: () => {} };

describe('an estimate from rounds', () => {
  it('is their median, with an interval between the lowest and the highest round', () => {
    expect(estimate([])).toBeNull();
    expect(estimate([2])).toEqual({ median: 2, low: 2, high: 2 });
    expect(estimate([1, 1.1, 0.9, 1.05, 5])).toEqual({ median: 1.05, low: 0.9, high: 5 });
    expect(estimate([9, 1, 8, 2, 7, 3, 6, 4, 5])).toEqual({ median: 5, low: 2, high: 8 });
  });

  it('claims only the confidence that the number of rounds supports', () => {
    expect([1, 3, 5, 6, 9].map(coverageOf)).toEqual([0, 0.75, 0.9375, 0.96875, 0.9609375]);
    const page = (rounds: number) => reportComparison({ comparisons: [], idle: [], missing: [] }, 'compare', rounds);
    expect(page(1)).toContain('1 round, servers in turns');
    expect(page(1)).not.toContain('confidence');
    expect(page(3)).toContain('with the lowest and the highest of them; 3 rounds contain the true median with only');
    expect(page(3)).toContain('with only 75 % confidence.');
    expect(page(6)).toContain('the interval that contains the true median with 96.88 % confidence');
  });
});

describe('the guard', () => {
  const a = { what: 'a', better: 'more', tolerance: 0.15 } as const;
  const recorded = [{ ...a, median: 1, low: 0.95, high: 1.05 }];

  it('passes if a result is better, within the tolerance, or too noisy to tell', () => {
    for (const now of [
      { median: 2, low: 1.9, high: 2.1 },
      { median: 0.9, low: 0.88, high: 0.92 },
      { median: 0.7, low: 0.5, high: 0.9 },
    ]) {
      expect(judge([{ ...a, ...now }], recorded)).toMatchObject({ isGood: true });
    }
  });

  it('fails if a result is worse or missing', () => {
    const worse = judge([{ ...a, median: 0.8, low: 0.78, high: 0.82 }], recorded);
    expect(worse.isGood).toBe(false);
    expect(worse.table).toContain('WORSE');
    expect(judge([], recorded)).toMatchObject({ isGood: false, table: expect.stringContaining('NOT MEASURED') });
    const fresh = { ...a, what: 'new', median: 9, low: 9, high: 9 };
    const both = judge([...recorded, fresh], recorded);
    expect(both).toMatchObject({
      isGood: true,
      table: expect.stringMatching(/\| new +\| +\| 9.00 .*\| not recorded \|/),
    });
  });

  it('judges time and memory the other way round, with a tolerance of their own', () => {
    const bytes = { what: 'b', better: 'less', tolerance: 0.6 } as const;
    const before = [{ ...bytes, median: 1_000, low: 900, high: 1_100 }];
    const now = (low: number) => judge([{ ...bytes, median: low + 10, low, high: low + 20 }], before);
    expect(now(100)).toMatchObject({ isGood: true });
    expect(now(1_590)).toMatchObject({ isGood: true });
    expect(now(1_610)).toMatchObject({ isGood: false, table: expect.stringMatching(/at most 1600 \| WORSE/) });
  });

  it('has figures of latency, pauses and allocations, from valid rounds', () => {
    const garbage = (heapBytes: number, longestPauseUs: number) =>
      ['node 0', 'node 1'].map((process, node) => ({
        ...{ process, scavenges: 1, pauses: 1, longestScavengeUs: 1, longestPauseUs, pausedUs: 1, bufferBytes: 0 },
        heapBytes: heapBytes / (node + 1),
      }));
    const of = (server: string, us: number, heapBytes: number, round = 1) => {
      return { ...result({ label: '1,000/s', server, latency: latency(us), garbage: garbage(heapBytes, us) }), round };
    };
    const results = [
      of('fanfare', 500, 80_000),
      of('socketio', 1_000, 1),
      { ...of('fanfare', 9_000, 1, 2), complaints: ['busy'] },
      of('socketio', 1_000, 1, 2),
    ];
    const found = figuresOf({ name: 'latency', results });
    expect(found.map(({ what, better, median }) => [what, better, Number(median.toFixed(1))])).toEqual([
      ['latency, 1,000/s: p50 of fanfare against socketio', 'less', 0.5],
      ['latency, 1,000/s: p99 of fanfare against socketio', 'less', 0.5],
      ['latency, 1,000/s: longest pause of fanfare against socketio', 'less', 0.5],
      ['latency, 1,000/s: heap bytes of fanfare, publishing node', 'less', 2_000],
      ['latency, 1,000/s: heap bytes of fanfare, receiving node', 'less', 1_000],
    ]);
  });

  it('has a recorded figure for each of its cases', async () => {
    for (const name of guardedCases) expect(await readBaseline([name]), name).not.toEqual([]);
  });
});

it('the comparison measures servers in turns under the same load', async () => {
  const options = {
    cases: ['point-to-point'],
    servers: ['fanfare-fast', 'raw'],
    rounds: 1,
    seconds: 0.5,
    idleSubscribers: 0,
  };
  const compared = await compare(options, quiet);
  const [comparison] = compared.comparisons;
  expect(comparison?.results.map(({ server, lost }) => [server, lost])).toEqual([
    ['fanfare-fast', 0],
    ['raw', 0],
  ]);
  const page = reportComparison(compared, 'npm run compare', 1);
  expect(page).toContain('### Point to point');
  expect(page).toMatch(/\| 128 B +\| fanfare-fast \|/);
  expect(page).toContain('fanfare-fast, times this');
  const [results] = compared.comparisons.map((each) => each.results.filter(({ server }) => server === 'raw'));
  const alone = { ...compared, comparisons: [{ name: 'point-to-point', results: results ?? [] }] };
  expect(reportComparison(alone, 'npm run compare', 1)).toMatch(
    /\| publications \| server \| CPU per delivery, µs \| times raw \| p50, ms \| p99, ms \| valid rounds \|/,
  );
});

it.each([
  [['now'], 'Unexpected argument "now".'],
  [['--cases', 'everything'], `--cases does not accept "everything". Valid: ${Object.keys(cases).join(', ')}.`],
  [['--cases'], `--cases needs a value: ${Object.keys(cases).join(', ')}, all.`],
  [['--servers', 'mosquitto', '--cases', 'fan-out,nodes'], /^--servers has no server of nodes. Valid: fanfare-fast, /],
  [['--servers', 'socketio-uws'], /^--servers has no server of any case. Valid: fanfare, /],
  [['--servers', 'pigeon'], /^--servers does not accept "pigeon"/],
  [['--rounds', '0'], '--rounds must be a whole number from 1 to 1000, not "0".'],
  [['guard', 'now'], 'Unexpected argument "now".'],
  [['guard', '--cases', 'storm'], /^--cases does not accept "storm". Valid: fan-out, burst, /],
] as const)('compare and guard refuse %j', (args, sentence) => {
  expect(() => parseCompare(args)).toThrow(typeof sentence === 'string' ? new UsageError(sentence) : sentence);
});
