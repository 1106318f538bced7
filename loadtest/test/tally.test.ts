/** Nothing that is lost, doubled or out of order goes unnoticed. */
import { expect, it } from 'vitest';
import { stampBytes, writeStamp } from '../src/stamp.js';
import { Tally } from '../src/tally.js';

function record(tally: Tally, subscriber: number, sequences: readonly number[]): void {
  const bytes = new Uint8Array(stampBytes);
  for (const sequence of sequences) {
    writeStamp(bytes, 0, sequence, 0);
    tally.record(subscriber, bytes, 0);
  }
}

it('counts each publication of each subscriber once', () => {
  const tally = new Tally(2);
  record(tally, 0, [0, 1, 2]);
  record(tally, 1, [0, 1, 2]);
  expect(tally).toMatchObject({ deliveries: 6, repeated: 0 });
});

it('does not count what was lost', () => {
  const tally = new Tally(1);
  record(tally, 0, [0, 3, 4]);
  expect(tally).toMatchObject({ deliveries: 3, repeated: 0 });
});

it('sees what comes twice, and what comes late', () => {
  const tally = new Tally(1);
  record(tally, 0, [0, 0, 2, 1, 3]);
  expect(tally).toMatchObject({ deliveries: 3, repeated: 2 });
});

it('sees what is no publication of ours', () => {
  const tally = new Tally(1);
  tally.record(0, new TextEncoder().encode('not a number at all, I fear'), 0);
  expect(tally).toMatchObject({ deliveries: 0, repeated: 1 });
});
