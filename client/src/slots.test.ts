import { expect, it } from 'vitest';
import { Slots } from './slots.js';

it('at most as many tasks start as there are slots; the others start in order', () => {
  const slots = new Slots(2);
  const started: number[] = [];
  for (let number = 1; number <= 5; number++) slots.take(() => started.push(number));
  expect(started).toEqual([1, 2]);
  slots.release();
  slots.release();
  expect(started).toEqual([1, 2, 3, 4]);
  slots.release();
  slots.release();
  slots.release();
  slots.take(() => started.push(6));
  expect(started).toEqual([1, 2, 3, 4, 5, 6]);
});

it('any number of tasks that end at once can start', () => {
  const slots = new Slots(1);
  let ended = 0;
  slots.take(() => {});
  for (let number = 0; number < 100_000; number++) {
    slots.take(() => {
      ended++;
      slots.release();
    });
  }
  slots.release();
  expect(ended).toBe(100_000);
});
