/** Ranges behave like the set of their numbers. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RangeSet } from '../src/checker/range-set.js';

const number = fc.integer({ min: 1, max: 40 });
const step = fc.oneof(
  fc.record({ what: fc.constant('add' as const), from: number, length: fc.integer({ min: 0, max: 10 }) }),
  fc.record({ what: fc.constant('remove' as const), from: number, length: fc.constant(1) }),
);

it('a range set behaves like a set of numbers', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const ranges = new RangeSet();
      const numbers = new Set<number>();
      for (const { what, from, length } of steps) {
        if (what === 'remove') expect(ranges.remove(from)).toBe(numbers.delete(from));
        else {
          expect(ranges.add(from, from + length - 1)).toBe(true);
          for (let n = from; n < from + length; n++) numbers.add(n);
        }
        expect(ranges.size).toBe(numbers.size);
        for (let n = 0; n <= 52; n++) expect(ranges.has(n)).toBe(numbers.has(n));
        expect(ranges.countIn(7, 23)).toBe([...numbers].filter((n) => n >= 7 && n <= 23).length);
      }
      const sorted = ranges.ranges.flatMap(({ from, to }) => [from, to]);
      expect(sorted).toEqual(sorted.toSorted((a, b) => a - b));
      for (const [index, { from }] of ranges.ranges.entries()) {
        const before = ranges.ranges[index - 1];
        if (before !== undefined) expect(from).toBeGreaterThan(before.to + 1);
      }
    }),
  );
});

it('a range set refuses a number that needs more ranges than allowed', () => {
  const ranges = new RangeSet(2);
  expect([ranges.add(1, 3), ranges.add(9, 9), ranges.add(5, 6), ranges.add(4, 4), ranges.add(5, 8)]).toEqual([
    true,
    true,
    false,
    true,
    true,
  ]);
  expect(ranges.ranges).toEqual([{ from: 1, to: 9 }]);
});
