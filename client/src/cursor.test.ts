/** The cursor of a topic: publications that arrive twice, late, or not at all. */
import type { HistoryReply, Item, Position } from '@fanfare/protocol';
import { expect, it } from 'vitest';
import { Cursor, maxLaggingAnswers } from './cursor.js';

function at(offset: number, epoch = 'e'): Position {
  return { epoch, offset };
}

/** The items of offsets `first` to `last`. The data of each item is its offset. */
function items(first: number, last: number): Item[] {
  return Array.from({ length: last - first + 1 }, (_, index) => ({ data: first + index }));
}

function start(offset = 0, maxHeld = 100) {
  const heard: unknown[] = [];
  const cursor = new Cursor(maxHeld, {
    onItems: (list, position) => {
      for (const [index, item] of list.entries()) {
        if (position !== null && 'data' in item) expect(item.data).toBe(position.offset + index);
        heard.push('data' in item ? item.data : item.error);
      }
    },
    onGap: (reason, position) => heard.push(`${reason} ${position.offset}`),
    onReset: (position) => heard.push(`reset ${position.epoch} ${position.offset}`),
  });
  cursor.onSubscribed(subscribed(at(offset)), null);
  return {
    heard,
    cursor,
    push: (first: number, last = first, epoch = 'e') =>
      cursor.onPublications({ position: at(first, epoch), items: items(first, last) }),
  };
}

function subscribed(position: Position | null, recovered = false, publications: Item[] = []) {
  return { type: 'subscribed', id: 3, topic: 'a', position, recovered, publications } as const;
}

function history(head: number, first: number | null, last = 0, { recovered = true, epoch = 'e' } = {}): HistoryReply {
  const publications = first === null ? [] : items(first, last);
  return { type: 'history', id: 3, topic: 'a', position: at(head, epoch), recovered, first, publications };
}

it('a cursor holds publications behind a hole until the hole is filled', () => {
  const { heard, push, cursor } = start();
  push(1);
  push(6, 7);
  push(4);
  expect(heard).toEqual([1]);
  expect(cursor.hasHole).toBe(true);
  cursor.onHistory(history(7, 2, 3), at(1));
  expect(heard).toEqual([1, 2, 3, 4]);
  expect(cursor.hasHole).toBe(true);
  cursor.onHistory(history(9, 5, 8), at(4));
  expect(heard).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(cursor.hasHole).toBe(false);
});

it('a cursor reports publications that the history no longer has, once', () => {
  const { heard, push, cursor } = start();
  push(8);
  cursor.onHistory(history(8, 5, 6, { recovered: false }), at(0));
  expect(heard).toEqual(['history 4', 5, 6]);
  cursor.onHistory(history(8, 7, 8), at(6));
  expect(heard).toEqual(['history 4', 5, 6, 7, 8]);
});

it('a cursor delivers the held publications if the history has lost the missing ones or cannot be read', () => {
  for (const end of [
    (cursor: Cursor) => cursor.onHistory(history(8, null, 0, { recovered: false }), at(0)),
    (cursor: Cursor) => cursor.giveUp(),
  ]) {
    const { heard, push, cursor } = start();
    push(7, 8);
    end(cursor);
    expect(heard).toEqual(['history 6', 7, 8]);
    expect(cursor.hasHole).toBe(false);
  }
});

it.each([
  ['an empty page marked as recovered', history(0, null)],
  ['a reply that ends before the missing publications', history(5, null, 0, { recovered: false })],
])('a cursor asks again after %s, because the node lags', (_, answer) => {
  const { heard, push, cursor } = start();
  push(7, 8);
  for (let times = 1; times < maxLaggingAnswers; times++) expect(cursor.onHistory(answer, at(0))).toBe(false);
  expect(heard).toEqual([]);
  expect(cursor.hasHole).toBe(true);
  expect(cursor.onHistory(history(8, 1, 8), at(0))).toBe(true);
  expect(heard).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

it('a cursor asks again if the head in the reply is behind the offsets it has seen', () => {
  const { heard, push, cursor } = start(41);
  push(44);
  expect(cursor.onHistory(history(30, null, 0, { recovered: false }), at(41))).toBe(false);
  expect(cursor.onHistory(history(44, 42, 44), at(41))).toBe(true);
  expect(heard).toEqual([42, 43, 44]);
});

it('a cursor resets if the node lags for too long: Redis lost the missing publications and uses their offsets again', () => {
  const { heard, push, cursor } = start(41);
  push(46);
  const lags = (since: Position, times: number): boolean[] =>
    Array.from({ length: times }, () => cursor.onHistory(history(40, null), since));
  expect(lags(at(41), maxLaggingAnswers - 1)).not.toContain(true);
  // A reply with a new publication restarts the count.
  cursor.onHistory(history(43, 42, 43), at(41));
  expect(lags(at(43), maxLaggingAnswers - 1)).not.toContain(true);
  expect(heard).toEqual([42, 43]);
  expect(lags(at(43), 1)).toEqual([true]);
  expect(heard).toEqual([42, 43, 'reset e 40']);
  push(41);
  expect(heard).toEqual([42, 43, 'reset e 40', 41]);
});

it('a cursor skips only the missing publications before those it holds', () => {
  const { heard, push, cursor } = start();
  push(4, 5);
  expect(cursor.onHistory(history(9, 8, 9, { recovered: false }), at(0))).toBe(true);
  expect(heard).toEqual(['history 3', 4, 5]);
  expect(cursor.hasHole).toBe(true);
  cursor.onHistory(history(9, 8, 9, { recovered: false }), at(5));
  expect(heard).toEqual(['history 3', 4, 5, 'history 7', 8, 9]);
});

it('a cursor drops late publications of every epoch it has left', () => {
  const { heard, push, cursor } = start();
  cursor.onReset(at(0, 'f'));
  cursor.onReset(at(0, 'g'));
  push(1, 1, 'e');
  push(1, 1, 'f');
  push(1, 1, 'g');
  expect(heard).toEqual(['reset f 0', 'reset g 0', 1]);
  // The lagging connection is closed.
  cursor.settle();
  push(1, 1, 'f');
  expect(heard).toEqual(['reset f 0', 'reset g 0', 1, 'reset f 0', 1]);
});

it('a cursor ignores a history reply whose publications have already arrived as pushes', () => {
  const { heard, push, cursor } = start();
  push(3);
  push(1, 2);
  cursor.onHistory(history(3, 1, 3), at(0));
  cursor.onHistory(history(3, 2, 3, { recovered: false }), at(0));
  expect(heard).toEqual([1, 2, 3]);
});

it('a cursor continues after a gap that the node reports, and reports it once', () => {
  const { heard, push, cursor } = start();
  push(1);
  cursor.onGap(at(4));
  cursor.onGap(at(4));
  cursor.onGap(at(2));
  push(4, 5);
  expect(heard).toEqual([1, 'node 4', 5]);
});

it('a cursor reports a new epoch once, whichever message announces it', () => {
  for (const learn of [
    ({ cursor }: ReturnType<typeof start>) => cursor.onReset(at(2, 'f')),
    ({ cursor }: ReturnType<typeof start>) => cursor.onGap(at(2, 'f')),
    ({ cursor }: ReturnType<typeof start>) => cursor.onSubscribed(subscribed(at(2, 'f')), at(1)),
    ({ cursor }: ReturnType<typeof start>) =>
      cursor.onHistory(history(2, 1, 2, { recovered: false, epoch: 'f' }), at(1)),
    () => {},
  ]) {
    const each = start();
    const { heard, push, cursor } = each;
    push(1);
    push(5);
    learn(each);
    push(3, 4, 'f');
    cursor.onReset(at(2, 'f'));
    // From another connection, whose node does not know the new epoch yet.
    push(2, 2);
    cursor.onSubscribed(subscribed(at(7)), at(1));
    push(5, 5, 'f');
    expect(heard).toEqual([1, 'reset f 2', 3, 4, 5]);
  }
});

it('a cursor returns to an earlier epoch if a new connection uses it', () => {
  const { heard, push, cursor } = start();
  cursor.onReset(at(0, 'f'));
  cursor.settle();
  push(4);
  expect(heard).toEqual(['reset f 0', 'reset e 3', 4]);
});

it('a cursor resets if the topic is at a lower offset than the cursor has seen', () => {
  const { heard, push, cursor } = start();
  push(1, 9);
  cursor.onSubscribed(subscribed(at(4)), at(9));
  push(5);
  expect(heard.slice(9)).toEqual(['reset e 4', 5]);
});

it('a cursor learns from the reply to a subscribe which publications it missed', () => {
  const { heard, push, cursor } = start();
  push(1, 2);
  cursor.onSubscribed(subscribed(at(4), true, items(3, 4)), at(2));
  expect(heard).toEqual([1, 2, 3, 4]);
  cursor.onSubscribed(subscribed(at(6)), at(4));
  expect(cursor.hasHole).toBe(true);
  cursor.onHistory(history(6, 5, 6), at(4));
  expect(heard).toEqual([1, 2, 3, 4, 5, 6]);
});

it('a cursor delivers the last value that a first subscription receives', () => {
  const heard: unknown[] = [];
  const fail = (): never => {
    throw new Error('No gap or reset was expected.');
  };
  const cursor = new Cursor(10, { onItems: (_items, position) => heard.push(position), onGap: fail, onReset: fail });
  cursor.onSubscribed(subscribed(at(7), false, [{ data: 7 }]), null);
  expect(heard).toEqual([at(7)]);
  expect(cursor.position).toEqual(at(7));
});

it('a cursor begins at the position the application gives, and reads later publications from the history', () => {
  const { heard, cursor, push } = start();
  cursor.begin(at(3), at(6));
  expect([cursor.hasHole, cursor.position]).toEqual([true, at(3)]);
  push(7);
  cursor.know(at(9));
  cursor.onHistory(history(9, 4, 6), at(3));
  expect([heard, cursor.hasHole]).toEqual([[4, 5, 6, 7], true]);
  cursor.onHistory(history(9, null), at(7));
  expect([heard.at(-1), cursor.hasHole]).toEqual(['history 9', false]);
  cursor.begin(at(3, 'd'), at(6));
  expect([heard.at(-1), cursor.hasHole, cursor.position]).toEqual(['reset e 6', false, at(6)]);
});

it('a cursor checks with the history a position ahead of the known head', () => {
  const { heard, cursor, push } = start();
  cursor.begin(at(8), at(6));
  expect(cursor.hasHole).toBe(true);
  expect(cursor.onHistory(history(7, null), at(8))).toBe(false);
  expect(cursor.onHistory(history(8, null), at(8))).toBe(true);
  expect(cursor.hasHole).toBe(false);
  cursor.begin(at(8), at(6));
  push(7, 8);
  expect(cursor.hasHole).toBe(false);
  cursor.begin(at(8), at(6));
  for (let answer = 1; answer < maxLaggingAnswers; answer++) {
    expect(cursor.onHistory(history(6, null), at(8))).toBe(false);
  }
  expect(heard).toEqual([]);
  expect(cursor.onHistory(history(6, null), at(8))).toBe(true);
  expect(heard).toEqual(['reset e 6']);
});
