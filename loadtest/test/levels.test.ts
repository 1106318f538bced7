/**
 * A short run on every path: every publication arrives once and in order. The figures of such a short run mean nothing.
 */
import { expect, it } from 'vitest';
import { type LevelsSample, measureLevels } from '../src/levels/levels.js';
import { reportLevels } from '../src/levels/levels-report.js';
import { candidateNames, type LevelsOptions } from '../src/scenarios/levels.js';

const workload = { topics: 20, burst: 5, perSecond: 5_000 };
const options: LevelsOptions = {
  candidates: candidateNames,
  workloads: [workload],
  publicationBytes: 128,
  rounds: 1,
  seconds: 0.1,
};

it('the study measures each level, and every publication is delivered once', async () => {
  const samples = await measureLevels(options, () => {});
  expect(samples.map(({ candidate, complaint }) => [candidate, complaint])).toEqual(
    candidateNames.map((candidate) => [candidate, null]),
  );
  for (const { publications, redisNs, subscriberNs } of samples) {
    expect(publications).toBe(500);
    expect(redisNs).toBeGreaterThan(0);
    expect(subscriberNs).toBeGreaterThan(0);
  }
  expect(reportLevels(samples, options)).toContain('| durable-acked ');
});

function sample(round: number, candidate: LevelsSample['candidate'], nodeUs: number, redisUs: number): LevelsSample {
  return {
    round,
    candidate,
    workload,
    publications: 500,
    publisherNs: nodeUs * 500,
    subscriberNs: nodeUs * 500,
    redisNs: redisUs * 1_000,
    lateShare: 0,
    slipP99Us: 1,
    complaint: null,
  };
}

/** The cells of the row of a level. */
function row(report: string, candidate: string): string[] {
  const line = report.split('\n').find((each) => each.includes(`| ${candidate} `)) ?? '';
  return line.split('|').map((cell) => cell.trim());
}

it('the report compares rates and the CPU time of Redis within rounds', () => {
  const samples = [
    sample(1, 'plain', 20, 1),
    sample(1, 'fast', 10, 2),
    sample(1, 'recoverable', 20, 4),
    sample(2, 'plain', 40, 1),
    sample(2, 'fast', 10, 1),
    sample(2, 'recoverable', 40, 3),
  ];
  const report = reportLevels(samples, { ...options, rounds: 2, candidates: ['plain', 'fast', 'recoverable'] });
  expect(row(report, 'recoverable')).toEqual([
    '',
    '20 topics, bursts of 5, 5,000/s',
    'recoverable',
    '15.0 (10.0 to 20.0)',
    '15.0 (10.0 to 20.0)',
    '3.5 (3.0 to 4.0)',
    '37,500 (25,000 to 50,000)',
    '1.00 (1.00 to 1.00)',
    '0.38 (0.25 to 0.50)',
    '3.50 (3.00 to 4.00)',
    '0 % (0 % to 0 %)',
    '2 of 2',
    '',
  ]);
});

it('the report leaves out a round with missing publications, and explains why', () => {
  const lossy = { ...sample(2, 'fast', 99, 9), complaint: '499 of 500 came in order, and 0 out of order or twice' };
  const report = reportLevels([sample(1, 'fast', 10, 2), lossy], { ...options, rounds: 2, candidates: ['fast'] });
  expect(row(report, 'fast')).toContain('1 of 2');
  expect(report).toContain(
    'Round 2, fast, 20 topics, bursts of 5, 5,000/s: INVALID, left out: 499 of 500 came in order, and 0 out of order or twice.',
  );
  expect(report).not.toContain('99.0');
});
