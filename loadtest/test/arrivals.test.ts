import { stampBytes, writeStamp } from '@fanfare/kit/stamp';
import { describe, expect, it } from 'vitest';
import { Arrivals } from '../src/levels/arrivals.js';

function complaintAfter(topics: number, sent: number, numbers: readonly number[]): string | null {
  const arrivals = new Arrivals(topics);
  const bytes = new Uint8Array(stampBytes);
  for (const number of numbers) {
    writeStamp(bytes, 0, 0, number, 0);
    arrivals.record(bytes, 0);
  }
  return arrivals.complain(sent);
}

describe('Arrivals', () => {
  it('has nothing to say where each topic is in order, whatever the order between topics', () => {
    expect(complaintAfter(2, 6, [1, 3, 0, 2, 5, 4])).toBe(null);
  });

  it.each([
    ['missing', [0, 1, 2, 4, 5], '4 of 6 came in order, and 1 out of order or twice'],
    ['missing at the end', [0, 1, 2, 3, 4], '5 of 6 came in order, and 0 out of order or twice'],
    ['doubled', [0, 1, 2, 2, 3, 4, 5], '6 of 6 came in order, and 1 out of order or twice'],
    ['out of order', [0, 3, 1, 2, 4, 5], '4 of 6 came in order, and 2 out of order or twice'],
  ])('says what is wrong where one is %s', (_, numbers, sentence) => {
    expect(complaintAfter(2, 6, numbers)).toBe(sentence);
  });

  it('takes what has no stamp for wrong', () => {
    const arrivals = new Arrivals(1);
    arrivals.record(new Uint8Array(stampBytes), 0);
    expect(arrivals.complain(0)).toBe('0 of 0 came in order, and 1 out of order or twice');
  });
});
