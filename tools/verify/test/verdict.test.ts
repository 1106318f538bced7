/** Findings that make a verdict bad, and findings that do not. */

import type { Level } from '@fanfare/kit/level';
import { describe, expect, it } from 'vitest';
import { type FindingCount, findingCounts, noFindings } from '../src/checker/findings.js';
import type { UnaffectedReport } from '../src/checker/unaffected-topics.js';
import { type Resets, reasonsAgainst } from '../src/checker/verdict.js';

const published = { published: 10, acknowledged: 10, refused: 0, unknown: 0 };

function reasons(level: Level, resets: Resets, counts: Partial<Record<FindingCount, number>>): string[] {
  const findings = { ...noFindings(), delivered: 10, ...counts };
  return reasonsAgainst({ findings, published, unaffected: null, maxWaitMs: 1_000, problems: [] }, level, resets);
}

const reportedLosses = ['reportedGaps', 'reportedResets', 'lostButReported'] as const;
const historyOnly = ['lost', 'lateInDoubt', 'silentGaps', 'silentResets', 'withoutPosition'] as const;
const wrongs = (Object.keys(findingCounts) as FindingCount[]).filter((name) => name !== 'delivered');

describe.each(['recoverable', 'durable'] as const)('at level %s', (level) => {
  it.each(wrongs)('one %s makes the verdict bad', (name) => {
    expect(reasons(level, 'none', { [name]: 1 })).toHaveLength(1);
  });

  it.each(wrongs)('one %s makes the verdict bad even if reported losses are allowed, unless it is one', (name) => {
    const isReported = reportedLosses.some((each) => each === name);
    expect(reasons(level, 'allowed', { [name]: 1 })).toHaveLength(isReported ? 0 : 1);
  });
});

it.each(wrongs)('at level fast, one %s is judged without history', (name) => {
  const isAllowed = [...reportedLosses, ...historyOnly].some((each) => each === name);
  expect(reasons('fast', 'none', { [name]: 1 })).toHaveLength(isAllowed ? 0 : 1);
});

it('the verdict is good if nothing is wrong', () => {
  expect(reasons('recoverable', 'none', {})).toEqual([]);
});

it('the verdict is bad if nothing was delivered, or if the fault could not be made', () => {
  const findings = { ...noFindings(), delivered: 1 };
  const evidence = { findings, published, unaffected: null, maxWaitMs: 1_000, problems: ['it did not break'] };
  expect(reasonsAgainst(evidence, 'fast', 'allowed')).toEqual(['it did not break']);
  const unacknowledged = { ...published, acknowledged: 0 };
  const nothing = {
    findings: noFindings(),
    published: unacknowledged,
    unaffected: null,
    maxWaitMs: 1_000,
    problems: [],
  };
  expect(reasonsAgainst(nothing, 'fast', 'allowed')).toEqual([
    'no publication was acknowledged',
    'nothing was delivered',
  ]);
});

const noDeliveries = { count: 0, p50Ms: 0, p99Ms: 0, maxMs: 0 };
const deliveries = { count: 9, p50Ms: 1, p99Ms: 2, maxMs: 3 };

it.each([
  [{}, []],
  [{ failed: 2 }, ['2 failed on topics that the fault must not affect']],
  [{ longestWaitMs: 999 }, []],
  [{ longestWaitMs: 1_234.5 }, ['a wait of 1235 ms on topics that the fault must not affect']],
  [
    { latency: { before: deliveries, during: { ...deliveries, p99Ms: 5_000.4 }, after: deliveries } },
    ['a p99 of 5000 ms to deliver on topics that the fault must not affect'],
  ],
  [
    { latency: { before: deliveries, during: noDeliveries, after: deliveries } },
    ['nothing delivered on topics that the fault must not affect'],
  ],
] satisfies [Partial<UnaffectedReport>, string[]][])(
  'topics that the fault must not affect make the verdict bad if it affected them: %j',
  (some, expected) => {
    const latency = { before: deliveries, during: deliveries, after: deliveries };
    const unaffected = { topics: 3, latency, longestWaitMs: 20, failed: 0, ...some };
    const findings = { ...noFindings(), delivered: 10 };
    expect(
      reasonsAgainst({ findings, published, unaffected, maxWaitMs: 1_000, problems: [] }, 'recoverable', 'none'),
    ).toEqual(expected);
  },
);

it('on a busy machine, delays on topics that the fault must not affect are not judged', () => {
  const latency = { before: deliveries, during: { ...deliveries, p99Ms: 5_000 }, after: deliveries };
  const unaffected = { topics: 3, latency, longestWaitMs: 40_000, failed: 2 };
  const findings = { ...noFindings(), delivered: 10 };
  const evidence = { findings, published, unaffected, maxWaitMs: null, problems: [] };
  expect(reasonsAgainst(evidence, 'recoverable', 'none')).toEqual([]);
  const silent = { ...unaffected, latency: { ...latency, during: noDeliveries } };
  expect(reasonsAgainst({ ...evidence, unaffected: silent }, 'recoverable', 'none')).toHaveLength(1);
});
