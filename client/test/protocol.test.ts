/**
 * The client follows PROTOCOL.md: the algorithm of section 4.4 and ours give the same results, and the page has the
 * numbers of the code.
 */
import { readFileSync } from 'node:fs';
import type { HistoryReply, Item, Position } from '@fanfare/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { closeTimeoutMs } from '../src/connection.js';
import { Cursor, maxLaggingAnswers } from '../src/cursor.js';
import { maxEarlyBytes, safeFrameBytes } from '../src/frames.js';
import { defaultLimits } from '../src/options.js';
import { repeatWindowMs, retryBaseDelayMs, retryMaxDelayMs } from '../src/publish-queue.js';
import { maxReads } from '../src/reads.js';

const markdown = readFileSync(new URL('../../protocol/PROTOCOL.md', import.meta.url), 'utf8');

/** The text below a heading, up to the next one. */
function section(heading: string): string {
  const [, text = ''] = markdown.split(`\n### ${heading}`);
  return text.split(/\n##+ /)[0] ?? '';
}

/** The algorithm of the document or ours, with the events that the application gets. */
interface Subject {
  readonly events: string[];
  readonly seen: () => Position | null;
  readonly isHoleOpen: () => boolean;
  onSubscribed(position: Position, publications: readonly Item[], since: Position | null): void;
  onPublications(position: Position, items: readonly Item[]): void;
  onGap(position: Position): void;
  onReset(position: Position): void;
  /** Whether the client must ask again later. */
  onHistory(answer: Omit<HistoryReply, 'type' | 'id' | 'topic'>, since: Position): boolean;
  giveUp(): void;
  /** A connection has closed. */
  onClosed(): void;
}

const shown = ({ epoch, offset }: Position): string => `${epoch}${offset}`;

interface Documented {
  readonly seen: Position | null;
  isHoleOpen(): boolean;
  onSubscribed(reply: Position & { publications: readonly Item[] }, since: Position | null): void;
  take(epoch: string, first: number, items: readonly Item[]): void;
  onGap(push: Position): void;
  onReset(push: Position): void;
  onHistory(reply: Position & { first: number | undefined; publications: readonly Item[] }, since: Position): unknown;
  giveUp(): void;
  left: Set<string>;
}

const [, code = ''] = /```js\n(.*?)```/s.exec(section('4.4')) ?? [];

function documented(): Subject {
  const events: string[] = [];
  const app = {
    publication: (item: Item, at: Position) => events.push(`${JSON.stringify(item)} at ${shown(at)}`),
    gap: (to: Position) => events.push(`gap ${shown(to)}`),
    reset: (to: Position) => events.push(`reset ${shown(to)}`),
  };
  const names = 'isHoleOpen, onSubscribed, take, onGap, onReset, onHistory, giveUp, left, get seen() { return seen; }';
  const its: Documented = new Function('app', `'use strict';\n${code}\nreturn { ${names} };`)(app);
  return {
    events,
    seen: () => its.seen,
    isHoleOpen: its.isHoleOpen,
    onSubscribed: (position, publications, since) => its.onSubscribed({ ...position, publications }, since),
    onPublications: ({ epoch, offset }, items) => its.take(epoch, offset, items),
    onGap: its.onGap,
    onReset: its.onReset,
    onHistory: ({ position, first, ...answer }, since) =>
      its.onHistory({ ...position, first: first ?? undefined, ...answer }, since) === 'retry',
    giveUp: its.giveUp,
    onClosed: () => its.left.clear(),
  };
}

function ours(): Subject {
  const events: string[] = [];
  const cursor = new Cursor(Number.POSITIVE_INFINITY, {
    onItems: (items, position) => {
      if (position === null) throw new Error('The items have no position.');
      for (const [index, item] of items.entries()) {
        events.push(`${JSON.stringify(item)} at ${shown({ ...position, offset: position.offset + index })}`);
      }
    },
    onGap: (_reason, position) => events.push(`gap ${shown(position)}`),
    onReset: (position) => events.push(`reset ${shown(position)}`),
  });
  const head = { id: 1, topic: 't' } as const;
  return {
    events,
    seen: () => cursor.position,
    isHoleOpen: () => cursor.hasHole,
    onSubscribed: (position, publications, since) =>
      cursor.onSubscribed({ ...head, type: 'subscribed', position, recovered: false, publications }, since),
    onPublications: (position, items) => cursor.onPublications({ position, items }),
    onGap: (position) => cursor.onGap(position),
    onReset: (position) => cursor.onReset(position),
    onHistory: (answer, since) => !cursor.onHistory({ ...head, type: 'history', ...answer }, since),
    giveUp: () => cursor.giveUp(),
    onClosed: () => cursor.settle(),
  };
}

/** The data of each publication is its own position, so that no two are equal. */
function items(epoch: string, first: number, count: number): Item[] {
  return Array.from({ length: count }, (_, index) => ({ data: `${epoch}${first + index}` }));
}

const epoch = fc.constantFrom('e', 'f', 'g');
const offset = fc.integer({ min: 0, max: 12 });
const position = fc.record({ epoch, offset });
const count = fc.integer({ min: 0, max: 4 });
/** Whether the event has the epoch of the reader, as most have. */
const isHere = fc.integer({ min: 0, max: 5 }).map((number) => number > 0);
const event = fc.oneof(
  fc.record({ name: fc.constantFrom('publications', 'subscribed', 'gap', 'reset'), position, count, isHere }),
  fc.record({
    name: fc.constant('history' as const),
    position,
    count,
    isHere,
    recovered: fc.boolean(),
    skipped: fc.integer({ min: 0, max: 3 }),
    /** How often the same reply arrives. */
    times: fc.constantFrom(1, 1, maxLaggingAnswers),
  }),
  fc.record({ name: fc.constantFrom('giveUp', 'closed') }),
);

describe('the algorithm of PROTOCOL.md 4.4', () => {
  it('gives the application the same events as this client, for any messages', () => {
    const outcomes = new Set<string>();
    fc.assert(
      fc.property(position, fc.array(event, { maxLength: 40 }), (start, events) => {
        const [theirs, mine] = [documented(), ours()];
        const both = (act: (subject: Subject) => unknown): void => {
          const answer = act(theirs);
          expect(act(mine)).toEqual(answer);
          outcomes.add(`answer ${answer}`);
          expect(mine.events).toEqual(theirs.events);
          expect(mine.seen()).toEqual(theirs.seen());
          expect(mine.isHoleOpen()).toBe(theirs.isHoleOpen());
        };
        both((subject) => subject.onSubscribed(start, [], null));
        for (const each of events) {
          const since = theirs.seen();
          if (since === null) throw new Error('There is no position yet.');
          if (each.name === 'giveUp') both((subject) => subject.giveUp());
          if (each.name === 'closed') both((subject) => subject.onClosed());
          if (!('position' in each)) continue;
          const at = each.isHere ? { ...each.position, epoch: since.epoch } : each.position;
          const run = items(at.epoch, at.offset + 1, each.count);
          if (each.name === 'publications') {
            both((subject) => subject.onPublications({ ...at, offset: at.offset + 1 }, run));
          }
          if (each.name === 'subscribed') {
            both((subject) => subject.onSubscribed({ ...at, offset: at.offset + each.count }, run, since));
          }
          if (each.name === 'gap') both((subject) => subject.onGap(at));
          if (each.name === 'reset') both((subject) => subject.onReset(at));
          if (each.name !== 'history') continue;
          // As a node replies: from right after `since`, or from later on if that publication is gone.
          const skipped = each.recovered ? 0 : each.skipped + 1;
          const first = since.offset + 1 + skipped;
          const isEmpty = each.count === 0 || at.epoch !== since.epoch;
          const answer = {
            position: at,
            recovered: each.recovered,
            first: isEmpty ? null : first,
            publications: isEmpty ? [] : items(at.epoch, first, each.count),
          };
          for (let time = 0; time < each.times; time++) both((subject) => subject.onHistory(answer, since));
        }
        for (const line of theirs.events) outcomes.add(line.split(' ')[0] ?? '');
      }),
      { numRuns: 1_000 },
    );
    // Every kind of outcome occurred.
    for (const outcome of ['gap', 'reset', 'answer true', 'answer false']) expect(outcomes).toContain(outcome);
  });
});

describe('the numbers of PROTOCOL.md', () => {
  const flat = markdown.replace(/\s+/g, ' ');
  const ms = (text = ''): number => Number.parseFloat(text) * (/\d ms/.test(text) ? 1 : 1_000);
  const cellsOf = (row: string): string[] =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
  const rows = section('4.6')
    .split('\n')
    .filter((line) => line.startsWith('|'));
  const row = (name: string): string[] => cellsOf(rows.find((line) => line.startsWith(`| ${name}`)) ?? '');

  it.each([
    ['reconnecting', defaultLimits.reconnectBaseDelayMs, defaultLimits.reconnectMaxDelayMs],
    ['trying to open', defaultLimits.reconnectBaseDelayMs, defaultLimits.reconnectMaxDelayMs],
    ['`subscribe` or `history` again', defaultLimits.reconnectBaseDelayMs, defaultLimits.reconnectMaxDelayMs],
    ['`publish` again', retryBaseDelayMs, retryMaxDelayMs],
    ['`refresh` again', defaultLimits.reconnectBaseDelayMs, defaultLimits.reconnectMaxDelayMs],
  ])('match the delay of the code before %s', (name, first, most) => {
    const [, firstText, mostText] = row(name);
    expect([ms(firstText), ms(mostText)]).toEqual([first, most]);
  });

  it.each([
    ['opening a connection', defaultLimits.connectTimeoutMs],
    ['reply to `subscribe`', defaultLimits.timeoutMs],
    ['any message after `ping`', defaultLimits.pongTimeoutMs],
    ['`published`', defaultLimits.timeoutMs],
    ["the peer's close frame", closeTimeoutMs],
  ])('match the deadline of the code for %s', (name, time) => {
    expect(ms(row(name)[1])).toBe(time);
  });

  it.each([
    ['a stable connection', `a connection that lasted ${defaultLimits.stableAfterMs / 1_000} s`],
    ['the longest frame before `connected`', `A frame has at most ${safeFrameBytes} bytes, which every node accepts`],
    ['all frames before `connected`', `All frames together have at most ${maxEarlyBytes} bytes`],
    ['concurrent history commands', `At most ${maxReads} \`history\` commands of a connection`],
    ['useless answers', `After ${maxLaggingAnswers} useless answers in a row`],
    ['useless answers, in the code', `++lagging < ${maxLaggingAnswers}`],
    ['the time during which a publish is repeated', `${repeatWindowMs / 1_000} s after \`doubtSince\``],
    ['unanswered publications', `keep at most ${defaultLimits.maxInFlightBytes / 2 ** 20} MiB`],
  ])('match the constant of the code for %s', (_, sentence) => {
    expect(flat).toContain(sentence);
  });
});
