import { expect, it } from 'vitest';
import { candidateNames, measureLevels } from '../src/levels.js';
import { reportLevels } from '../src/levels-report.js';

it('measures each level, with every publication delivered once', async () => {
  const options = {
    candidates: candidateNames,
    workloads: ['many-topics'],
    publicationBytes: 128,
    rounds: 1,
    seconds: 0.1,
  } as const;
  const samples = await measureLevels(options, () => {});
  expect(samples.map(({ candidate, isValid }) => [candidate, isValid])).toEqual(
    candidateNames.map((candidate) => [candidate, true]),
  );
  for (const { publications, redisNs } of samples) {
    expect(publications).toBe(2_000);
    expect(redisNs).toBeGreaterThan(0);
  }
  const report = reportLevels(samples, options);
  expect(report).toContain('| durable-acked ');
  expect(report).toContain('| 1 of 1 ');
}, 60_000);
