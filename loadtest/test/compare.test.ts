/** The comparison: what it says about rounds, and that it runs. */
import { describe, expect, it } from 'vitest';
import { cases } from '../src/compare/cases.js';
import { compare } from '../src/compare/compare.js';
import { parseCompare } from '../src/compare/compare-command-line.js';
import { reportComparison } from '../src/compare/compare-report.js';
import { judge } from '../src/compare/guard.js';
import { estimate } from '../src/compare/statistics.js';
import { UsageError } from '../src/flags.js';

const quiet = { line: () => {}, moment: () => {} };

describe('an estimate from rounds', () => {
  it('is their median, with an interval within what was seen', () => {
    expect(estimate([])).toBeNull();
    expect(estimate([2])).toEqual({ median: 2, low: 2, high: 2 });
    const found = estimate([1, 1.1, 0.9, 1.05, 5]);
    expect(found?.median).toBe(1.05);
    expect(found?.low).toBeGreaterThanOrEqual(0.9);
    expect(found?.high).toBeLessThanOrEqual(5);
    expect(estimate([1, 1.1, 0.9, 1.05, 5])).toEqual(found);
  });
});

describe('the guard', () => {
  const recorded = [{ what: 'a', median: 1, low: 0.95, high: 1.05 }];

  it('is content with what is better, or within the tolerance, or so noisy that nobody knows', () => {
    for (const now of [
      { median: 2, low: 1.9, high: 2.1 },
      { median: 0.9, low: 0.88, high: 0.92 },
      { median: 0.7, low: 0.5, high: 0.9 },
    ]) {
      expect(judge([{ what: 'a', ...now }], recorded)).toMatchObject({ isGood: true });
    }
  });

  it('is not with what is worse, or was not measured', () => {
    const worse = judge([{ what: 'a', median: 0.8, low: 0.78, high: 0.82 }], recorded);
    expect(worse.isGood).toBe(false);
    expect(worse.table).toContain('WORSE');
    expect(judge([], recorded)).toMatchObject({ isGood: false, table: expect.stringContaining('NOT MEASURED') });
  });
});

it('compares servers on the same load, in turns', { timeout: 60_000 }, async () => {
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
});

it.each([
  [['now'], '"now" stands where an option was expected.'],
  [['--cases', 'everything'], `--cases does not know "everything", only ${Object.keys(cases).join(', ')}.`],
  [['--servers', 'pigeon'], /^--servers does not know "pigeon"/],
  [['--rounds', '0'], '--rounds must be a number from 1 to 1000, not "0".'],
  [['guard', 'now'], '"now" stands where an option was expected.'],
] as const)('refuses %j', (args, sentence) => {
  expect(() => parseCompare(args)).toThrow(typeof sentence === 'string' ? new UsageError(sentence) : sentence);
});
