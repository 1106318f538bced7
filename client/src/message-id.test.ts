import { isMessageId } from '@fanfare/protocol';
import { expect, it } from 'vitest';
import { messageIds } from './message-id.js';

it('the client makes unique message ids that are valid in the protocol', () => {
  const sources = Array.from({ length: 100 }, messageIds);
  const ids = sources.flatMap((next) => Array.from({ length: 100 }, () => next('t')));
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.every((id) => id.length <= 22 && isMessageId(id))).toBe(true);
});

it('ids of one topic differ at their end, and stay unique if a client publishes to very many topics', () => {
  const next = messageIds();
  const [first = '', other = '', second = ''] = [next('a'), next('b'), next('a')];
  expect([first.slice(0, -1), first.at(-1), second.at(-1)]).toEqual([second.slice(0, -1), '0', '1']);
  expect(other).toBe(first);
  for (let index = 0; index < 2_000; index++) next(`topic ${index}`);
  expect(next('a').slice(0, 20)).not.toBe(first.slice(0, 20));
});
