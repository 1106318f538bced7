import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  maxEpochBytes,
  type Position,
  parsePositionsText,
  parsePositionText,
  positionsText,
  positionText,
} from '../src/index.js';

const epochs = fc.stringMatching(new RegExp(`^[A-Za-z0-9_-]{1,${maxEpochBytes}}$`));
const positions: fc.Arbitrary<Position | null> = fc.oneof(
  fc.record({ epoch: epochs, offset: fc.maxSafeNat() }),
  fc.constant(null),
);

describe('the text of a position', () => {
  it('is the epoch and the offset', () => {
    expect(positionText({ epoch: '1764563000000000', offset: 42 })).toBe('1764563000000000-42');
    expect(positionText(null)).toBe('*');
  });

  it('is read back as the same position', () => {
    fc.assert(
      fc.property(positions, (position) => {
        expect(parsePositionText(positionText(position))).toEqual(position);
      }),
    );
  });

  it('separates at the last "-", because an epoch may contain others', () => {
    expect(parsePositionText('-a--7')).toEqual({ epoch: '-a-', offset: 7 });
  });

  it.each([
    '',
    '-',
    '7',
    '-7',
    'a-',
    'a-07',
    'a- 7',
    'a-+7',
    'a-1e3',
    'a-0x1',
    'a-1.5',
    'a-9007199254740992',
    `${'a'.repeat(maxEpochBytes + 1)}-1`,
    'é-1',
    'a b-1',
    'a-1\n',
    '**',
    'a-*',
  ])('is not %j', (text) => {
    expect(parsePositionText(text)).toBe('wrong');
  });
});

describe('the text of several positions', () => {
  it('has them in their order', () => {
    expect(positionsText([{ epoch: 'a-b', offset: 1 }, null, { epoch: 'c', offset: 0 }])).toBe('a-b-1.*.c-0');
  });

  it('is read back as the same positions', () => {
    fc.assert(
      fc.property(fc.array(positions, { minLength: 1, maxLength: 32 }), (list) => {
        expect(parsePositionsText(positionsText(list))).toEqual(list);
      }),
    );
  });

  it.each(['', '.', 'a-1.', '.a-1', 'a-1..a-2', 'a-1,a-2', 'a-1.x'])('is not %j', (text) => {
    expect(parsePositionsText(text)).toBeNull();
  });
});
