/** The rules for offsets: which publications are delivered, dropped, held or skipped, in whatever order they arrive. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Sequence, Sequencer } from '../src/index.js';

/** A sequencer at offset 0 of epoch `e`, and the offsets it delivered. */
function start(maxHeld = 100) {
  const delivered: number[] = [];
  const repeated: number[] = [];
  const sequencer = new Sequencer<Sequence>(
    maxHeld,
    ({ first, last }) => last - first + 1,
    ({ last }, from) => {
      for (let offset = from; offset <= last; offset++) delivered.push(offset);
    },
    ({ last }) => repeated.push(last),
  );
  sequencer.restart({ epoch: 'e', offset: 0 });
  const run = (first: number, last = first, epoch = 'e'): Sequence => ({ epoch, first, last });
  const take = (...range: Parameters<typeof run>): void => sequencer.take(run(...range));
  const hold = (...range: Parameters<typeof run>): void => sequencer.hold(run(...range));
  return { sequencer, delivered, repeated, take, hold };
}

/** The offsets `first` to `last`. */
function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

describe('a sequencer', () => {
  it('delivers runs that follow each other', () => {
    const { sequencer, delivered, take } = start();
    take(1, 2);
    take(3);
    expect(delivered).toEqual([1, 2, 3]);
    expect(sequencer).toMatchObject({ epoch: 'e', head: 3, firstHeld: Number.POSITIVE_INFINITY });
  });

  it('drops repeated publications, and delivers the new part of a run that overlaps', () => {
    const { delivered, repeated, take } = start();
    take(1, 3);
    take(1, 3);
    take(2);
    take(2, 5);
    expect(delivered).toEqual([1, 2, 3, 4, 5]);
    expect(repeated).toEqual([3, 2]);
  });

  it('holds runs behind a hole, in order, until the hole is filled', () => {
    const { sequencer, delivered, take } = start();
    take(1);
    take(6, 7);
    take(4, 4);
    expect(delivered).toEqual([1]);
    expect(sequencer.firstHeld).toBe(4);
    take(2, 3);
    expect(delivered).toEqual([1, 2, 3, 4]);
    take(5);
    expect(delivered).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('also holds the next run on request, until it is released', () => {
    const { sequencer, delivered, hold } = start();
    hold(2);
    hold(1);
    expect(delivered).toEqual([]);
    sequencer.release();
    expect(delivered).toEqual([1, 2]);
  });

  it('drops the oldest held runs beyond the limit', () => {
    const { sequencer, delivered, take } = start(3);
    take(2, 3);
    take(4, 5);
    expect(sequencer.firstHeld).toBe(4);
    take(1);
    expect(delivered).toEqual([1]);
    take(2, 3);
    expect(delivered).toEqual([1, 2, 3, 4, 5]);
    take(7, 10);
    expect(sequencer.firstHeld).toBe(Number.POSITIVE_INFINITY);
  });

  it('skips a hole once, and never goes back', () => {
    const { sequencer, delivered, take } = start();
    take(1);
    take(5, 6);
    expect(sequencer.skip(4)).toBe(true);
    expect(sequencer.skip(4)).toBe(false);
    expect(sequencer.skip(2)).toBe(false);
    expect(delivered).toEqual([1]);
    sequencer.release();
    expect(delivered).toEqual([1, 5, 6]);
  });

  it('delivers no run of another epoch, and keeps it for the restart', () => {
    const { sequencer, delivered, take } = start();
    take(1);
    take(2, 2, 'f');
    take(2, 2, 'd');
    take(4);
    expect(delivered).toEqual([1]);
    sequencer.restart({ epoch: 'f', offset: 1 });
    sequencer.release();
    expect(delivered).toEqual([1, 2]);
    expect(sequencer).toMatchObject({ epoch: 'f', head: 2, firstHeld: Number.POSITIVE_INFINITY });
  });

  it('drops everything held at a restart of the same epoch', () => {
    const { sequencer, take } = start();
    take(5);
    sequencer.restart({ epoch: 'e', offset: 2 });
    expect(sequencer).toMatchObject({ head: 2, firstHeld: Number.POSITIVE_INFINITY });
  });

  it('drops held runs of other epochs on request', () => {
    const { sequencer, take } = start();
    take(1, 1, 'f');
    take(3);
    sequencer.keep('e');
    expect(sequencer.firstHeld).toBe(3);
  });

  it('delivers each publication once, in order, however runs arrive and holes are filled', () => {
    const arrival = fc.record({
      first: fc.integer({ min: 1, max: 60 }),
      count: fc.integer({ min: 1, max: 12 }),
      isHeld: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(arrival, { maxLength: 60 }),
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 9 }),
        (arrivals, maxHeld, page) => {
          const { sequencer, delivered, take, hold } = start(maxHeld);
          let newest = 0;
          for (const { first, count, isHeld } of arrivals) {
            const last = first + count - 1;
            newest = Math.max(newest, last);
            if (isHeld) hold(first, last);
            else take(first, last);
            expect(delivered).toEqual(range(1, sequencer.head));
          }
          while (sequencer.head < newest) {
            const from = sequencer.head + 1;
            take(from, Math.min(newest, from + page - 1));
          }
          expect(delivered).toEqual(range(1, newest));
          expect(sequencer.firstHeld).toBe(Number.POSITIVE_INFINITY);
        },
      ),
    );
  });

  it('delivers what it holds if all holes are skipped', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 30 }), (offsets) => {
        const { sequencer, delivered, take } = start();
        for (const offset of offsets) take(offset);
        while (sequencer.firstHeld < Number.POSITIVE_INFINITY) {
          expect(sequencer.skip(sequencer.firstHeld - 1)).toBe(true);
          sequencer.release();
        }
        expect(delivered).toEqual([...new Set(offsets)].sort((one, other) => one - other));
      }),
    );
  });
});
