import { stampBytes, writeStamp } from '@fanfare/kit/stamp';
import { describe, expect, it } from 'vitest';
import { Arrivals } from '../src/levels/arrivals.js';

function problemAfter(topics: number, sent: number, numbers: readonly number[]): string | null {
  const arrivals = new Arrivals(topics);
  const bytes = new Uint8Array(stampBytes);
  for (const number of numbers) {
    writeStamp(bytes, 0, 0, number, 0);
    arrivals.record(bytes, 0);
  }
  return arrivals.problem(sent);
}

describe('Arrivals', () => {
  it('reports no problem if each topic is in order, even if topics are interleaved', () => {
    expect(problemAfter(2, 6, [1, 3, 0, 2, 5, 4])).toBe(null);
  });

  it.each([
    ['missing', [0, 1, 2, 4, 5], '4 of 6 came in order, and 1 out of order or twice'],
    ['missing at the end', [0, 1, 2, 3, 4], '5 of 6 came in order, and 0 out of order or twice'],
    ['doubled', [0, 1, 2, 2, 3, 4, 5], '6 of 6 came in order, and 1 out of order or twice'],
    ['out of order', [0, 3, 1, 2, 4, 5], '4 of 6 came in order, and 2 out of order or twice'],
  ])('reports a problem if a publication is %s', (_, numbers, sentence) => {
    expect(problemAfter(2, 6, numbers)).toBe(sentence);
  });

  it('counts data without a stamp as out of order', () => {
    const arrivals = new Arrivals(1);
    arrivals.record(new Uint8Array(stampBytes), 0);
    expect(arrivals.problem(0)).toBe('0 of 0 came in order, and 1 out of order or twice');
  });
});
