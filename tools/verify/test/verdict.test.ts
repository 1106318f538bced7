/** Findings that make a verdict bad, and findings that do not. */

import type { Level } from '@fanfare/kit/level';
import { describe, expect, it } from 'vitest';
import { type FindingCount, findingCounts, noFindings } from '../src/checker/findings.js';
import { type Resets, reasonsAgainst } from '../src/checker/verdict.js';

const published = { published: 10, acknowledged: 10, refused: 0, unknown: 0 };

function reasons(level: Level, resets: Resets, counts: Partial<Record<FindingCount, number>>): string[] {
  const findings = { ...noFindings(), delivered: 10, ...counts };
  return reasonsAgainst({ findings, published, problems: [] }, level, resets);
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
  const evidence = { findings: { ...noFindings(), delivered: 1 }, published, problems: ['it did not break'] };
  expect(reasonsAgainst(evidence, 'fast', 'allowed')).toEqual(['it did not break']);
  const nothing = { findings: noFindings(), published: { ...published, acknowledged: 0 }, problems: [] };
  expect(reasonsAgainst(nothing, 'fast', 'allowed')).toEqual([
    'no publication was acknowledged',
    'nothing was delivered',
  ]);
});
