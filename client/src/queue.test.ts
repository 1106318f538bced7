import { expect, it } from 'vitest';
import { Queue } from './queue.js';

it('a queue returns its items in order', () => {
  const queue = new Queue<number>();
  let [put, taken] = [0, 0];
  for (let round = 0; round < 100; round++) {
    for (let count = 0; count < round; count++) queue.push(put++);
    for (let count = 0; count < round - 1; count++) expect(queue.shift()).toBe(taken++);
    expect(queue.size).toBe(put - taken);
  }
  while (queue.size > 0) expect(queue.shift()).toBe(taken++);
  expect(taken).toBe(put);
  expect(queue.shift()).toBeUndefined();
});
