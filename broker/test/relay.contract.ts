/** What every relay promises (relay.ts); each implementation runs this suite. */
import {
  forEachItem,
  isMessageId,
  type KeyedPayload,
  maxMessageIdBytes,
  type Position,
  parseTopic,
  ReplyError,
  type Run,
  type Topic,
} from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import type { LocalSubscribers, Payer, Receipt, Relay } from '../src/relay/relay.js';
import { type IdScope, scopedId, scopeOf, sharedScope } from '../src/relay/scoped-id.js';
import { TopicPolicies } from '../src/topics/policy.js';
import { until } from './wait.js';

export interface RelayFixture extends AsyncDisposable {
  /** Relays that form one broker: a single one if the implementation knows no others. */
  readonly relays: readonly Relay[];
  readonly deliveries: readonly RecordedDelivery[];
}

type StartRelays = (count: number) => Promise<RelayFixture>;

/** Records what a relay delivers on one node. */
export class RecordedDelivery implements LocalSubscribers {
  readonly received = new Map<Topic, string[]>();
  /** The publications with a key, as key and text, with a `-` before a key that is removed. */
  readonly keyed: string[] = [];
  readonly runs: number[] = [];
  readonly gaps: Topic[] = [];
  readonly resets: Position[] = [];
  /** The number of subscribers that topics have on this node. */
  readonly subscribers = new Map<Topic, number>();
  /** Offset of the first publication of each run, by topic; null if it has none. */
  readonly offsets = new Map<Topic, (number | null)[]>();
  onDeliver: () => void = () => undefined;
  onGap: () => void = () => undefined;

  deliver(topic: Topic, position: Position | null, run: Run): boolean {
    this.onDeliver();
    this.runs.push(run.count);
    this.offsets.set(topic, [...(this.offsets.get(topic) ?? []), position?.offset ?? null]);
    forEachItem(run, ({ bytes, start, end }) => {
      const texts = this.received.get(topic) ?? [];
      texts.push(Buffer.from(bytes).toString('utf8', start, end));
      this.received.set(topic, texts);
    });
    this.keyed.push(...keyedOf(run));
    return true;
  }

  notifyGap(topic: Topic): void {
    this.onGap();
    this.gaps.push(topic);
  }

  notifyReset(_topic: Topic, position: Position): void {
    this.resets.push(position);
  }

  subscribersOf(topic: Topic): number {
    return this.subscribers.get(topic) ?? 0;
  }

  of(name: string): readonly string[] {
    return this.received.get(topic(name)) ?? [];
  }
}

/**
 * Topics that begin with `fast.` keep no history; those that begin with `last.` send the last value to new subscribers.
 */
export const topics = new TopicPolicies([
  ['fast.>', { level: 'fast' }],
  ['last.>', { lastValue: true }],
  ['short.>', { historySize: 4 }],
]);

export function topic(name: string): Topic {
  const parsed = parseTopic(name);
  if (parsed === null) throw new Error(`${name} is not a topic`);
  return parsed;
}

/** The publications of a run that have a key, as in {@link RecordedDelivery.keyed}. */
function keyedOf(run: Run): string[] {
  const all: string[] = [];
  forEachItem(run, ({ bytes, start, end, key, remove }) => {
    if (key !== null) all.push(`${remove ? '-' : ''}${key} ${Buffer.from(bytes).toString('utf8', start, end)}`);
  });
  expect(run.hasKeys || all.length === 0).toBe(true);
  return all;
}

export function json(value: unknown, key: string | null = null, remove = false): KeyedPayload {
  const bytes = Buffer.from(JSON.stringify(value));
  return { encoding: 'json', bytes, start: 0, end: bytes.length, key, remove };
}

/** Publishes with a receipt and resolves with the outcome. */
export function publishAcknowledged(
  relay: Relay,
  name: string,
  value: unknown,
  messageId: string | null = null,
  scope: IdScope = sharedScope,
): Promise<Position | null | ReplyError> {
  return new Promise((resolve) => {
    const receipt: Receipt = { accepted: (position) => resolve(position), failed: resolve };
    const id = messageId === null ? null : scopedId(scope, messageId);
    try {
      relay.publish(topic(name), json(value), id, receipt);
    } catch (error) {
      if (!(error instanceof ReplyError)) throw error;
      resolve(error);
    }
  });
}

export function relayContract(name: string, start: StartRelays): void {
  describe.each(['fast', 'recoverable'])(`${name} as a relay of %s topics`, (level) => {
    const named = (name: string): string => `${level}.${name}`;
    const hasHistory = level !== 'fast';

    it('knows whether topics keep a history', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      expect(relay.hasHistory(topic(named('news')))).toBe(hasHistory);
    });

    it('notifies the publisher whose publication begins a history, and remembers its publications', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      const begun: string[] = [];
      const payerOf = (name: string): Payer => ({
        onTopicBegun: () => begun.push(name),
        onPublicationsRead: () => undefined,
      });
      expect(relay.hasPublished(topic(named('news')))).toBe(false);
      // A subscriber does not begin a history.
      await relay.subscribe(topic(named('news')), null);
      expect(relay.hasPublished(topic(named('news')))).toBe(false);
      relay.publish(topic(named('news')), json(1), null, null, payerOf('ada'));
      relay.publish(topic(named('news')), json(2), null, null, payerOf('bob'));
      await publishAcknowledged(relay, named('news'), 3);
      relay.publish(topic(named('news')), json(4), null, null, payerOf('eve'));
      relay.publish(topic(named('other')), json(1), scopedId(sharedScope, 'm'), null, payerOf('eve'));
      await publishAcknowledged(relay, named('other'), 2);
      relay.publish(topic(named('other')), json(1), scopedId(sharedScope, 'm'), null, payerOf('ada'));
      await publishAcknowledged(relay, named('other'), 3);
      expect(begun).toEqual(hasHistory ? ['ada', 'eve'] : []);
      expect(relay.hasPublished(topic(named('news')))).toBe(hasHistory);
      expect(relay.hasPublished(topic(named('unknown')))).toBe(false);
    });

    it('delivers to the subscribers of its own node, in order', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      await relay.subscribe(topic(named('news')), null);
      for (let number = 0; number < 100; number++) relay.publish(topic(named('news')), json(number), null, null);
      await publishAcknowledged(relay, named('news'), 100);
      const delivery = fixture.deliveries[0];
      await until('all publications have arrived', () => delivery?.of(named('news')).length === 101);
      expect(delivery?.of(named('news'))).toEqual(Array.from({ length: 101 }, (_, index) => String(index)));
    });

    it('delivers publications of one node to every subscribed node, in order', async () => {
      await using fixture = await start(3);
      await Promise.all(fixture.relays.map((relay) => relay.subscribe(topic(named('news')), null)));
      const [first] = fixture.relays as [Relay];
      const expected = Array.from({ length: 200 }, (_, index) => String(index));
      for (const text of expected) first.publish(topic(named('news')), json(Number(text)), null, null);
      for (const delivery of fixture.deliveries) {
        await until('all publications have arrived', () => delivery.of(named('news')).length === expected.length);
        expect(delivery.of(named('news'))).toEqual(expected);
      }
    });

    it('delivers everything that is accepted after subscribe has resolved', async () => {
      await using fixture = await start(2);
      const [first, last] = [fixture.relays[0], fixture.relays.at(-1)] as [Relay, Relay];
      for (let round = 0; round < 20; round++) {
        await last.subscribe(topic(named(`t${round}`)), null);
        expect(await publishAcknowledged(first, named(`t${round}`), round)).toEqual(
          hasHistory ? { epoch: expect.stringMatching(/^\d{16}$/), offset: 1 } : null,
        );
        const delivery = fixture.deliveries.at(-1);
        await until('the publication has arrived', () => delivery?.of(named(`t${round}`)).length === 1);
      }
    });

    it('delivers keys, also in a run with publications that have none', async () => {
      await using fixture = await start(2);
      const [first] = fixture.relays as [Relay];
      await Promise.all(fixture.relays.map((relay) => relay.subscribe(topic(named('news')), null)));
      first.publish(topic(named('news')), json(1, 'a'), null, null);
      first.publish(topic(named('news')), json(2), null, null);
      first.publish(topic(named('news')), json(null, '!~'.repeat(32), true), null, null);
      await publishAcknowledged(first, named('news'), 4);
      for (const delivery of fixture.deliveries) {
        await until('all publications have arrived', () => delivery.of(named('news')).length === 4);
        expect(delivery.of(named('news'))).toEqual(['1', '2', 'null', '4']);
        expect(delivery.keyed).toEqual(['a 1', `-${'!~'.repeat(32)} null`]);
      }
    });

    it('returns level, position and the subscribers on all nodes', async () => {
      await using fixture = await start(3);
      const { relays, deliveries } = fixture;
      const [first, last] = [relays[0], relays.at(-1)] as [Relay, Relay];
      const name = topic(named('news'));
      // Each node must know that the others are alive.
      for (const relay of relays) await until('the nodes know each other', () => relay.nodes === relays.length);
      const nodes = { asked: relays.length, answered: relays.length };
      expect(await first.topicInfo(name)).toEqual({ level, position: null, subscribers: { count: 0, nodes } });
      for (const [index, delivery] of deliveries.entries()) delivery.subscribers.set(name, 10 ** index);
      deliveries[0]?.subscribers.set(topic(named('other')), 7);
      const position = await publishAcknowledged(last, named('news'), 1);
      const all = { level, position, subscribers: { count: [1, 11, 111][relays.length - 1], nodes } };
      // Many requests of one turn, and of several nodes.
      const asked = [first, last].flatMap((relay) => [
        relay.topicInfo(name),
        relay.topicInfo(topic(named('other'))),
        relay.topicInfo(name),
      ]);
      const other = { level, position: null, subscribers: { count: 7, nodes } };
      expect(await Promise.all(asked)).toEqual([all, other, all, all, other, all]);
    });

    it('combines the publications of a turn into one run for each topic', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      await Promise.all(['even', 'odd'].map((name) => relay.subscribe(topic(named(name)), null)));
      for (let number = 0; number < 50; number++)
        relay.publish(topic(named(number % 2 === 0 ? 'even' : 'odd')), json(number), null, null);
      await publishAcknowledged(relay, named('even'), 50);
      await until('both publications have arrived', () => fixture.deliveries[0]?.runs.length === 2);
      // The topics may be in different Redis servers.
      expect(fixture.deliveries[0]?.runs.toSorted()).toEqual([25, 26]);
    });

    it('keeps each run below 16 KiB unless a single publication is longer', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      await relay.subscribe(topic(named('t')), null);
      const long = 'x'.repeat(5_000);
      for (const value of [long, long, long, long, long.repeat(5), 'short'])
        relay.publish(topic(named('t')), json(value), null, null);
      await publishAcknowledged(relay, named('t'), 'end');
      await until('all publications have arrived', () => fixture.deliveries[0]?.runs.length === 4);
      expect(fixture.deliveries[0]?.runs).toEqual([3, 1, 1, 2]);
    });

    it('copies payloads, so that the buffer of their frame may be reused', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      await relay.subscribe(topic(named('t')), null);
      const payload = json('before');
      relay.publish(topic(named('t')), payload, null, null);
      payload.bytes.fill(0x20);
      await publishAcknowledged(relay, named('t'), 'end');
      await until('the publication has arrived', () => fixture.deliveries[0]?.of(named('t'))[0] === '"before"');
    });

    it('notifies the publisher whether its messageId was known', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      const publish = (messageId: string | null): Promise<boolean> =>
        new Promise((resolve, reject) => {
          const id = messageId === null ? null : scopedId(sharedScope, messageId);
          const receipt: Receipt = { accepted: (_position, isDuplicate) => resolve(isDuplicate), failed: reject };
          relay.publish(topic(named('t')), json(1), id, receipt);
        });
      // In one turn, in a run with others, and later.
      expect(await Promise.all([publish('a'), publish(null), publish('b')])).toEqual([false, false, false]);
      expect(await Promise.all([publish('c'), publish('a'), publish('c'), publish(null)])).toEqual([
        false,
        hasHistory,
        hasHistory,
        false,
      ]);
      expect(await publish('b')).toBe(hasHistory);
    });

    it('never reports an outcome before publish has returned', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      let hasReturned = false;
      const outcome = new Promise<boolean>((resolve) => {
        const tell = (): void => resolve(hasReturned);
        relay.publish(topic(named('t')), json(1), null, { accepted: tell, failed: tell });
        hasReturned = true;
      });
      expect(await outcome).toBe(true);
    });

    it('accepts repeated subscribe and unsubscribe calls', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      relay.unsubscribe(topic(named('t')));
      await Promise.all([relay.subscribe(topic(named('t')), null), relay.subscribe(topic(named('t')), null)]);
      relay.unsubscribe(topic(named('t')));
      relay.unsubscribe(topic(named('t')));
      await relay.subscribe(topic(named('t')), null);
      await publishAcknowledged(relay, named('t'), 1);
      await until('the publication has arrived', () => fixture.deliveries[0]?.of(named('t')).length === 1);
    });

    it('has reported every outcome when a flush resolves', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      const outcomes: unknown[] = [];
      const receipt: Receipt = {
        accepted: (position) => outcomes.push(position),
        failed: (error) => outcomes.push(error),
      };
      for (let number = 0; number < 10; number++) relay.publish(topic(named('t')), json(number), null, receipt);
      await relay.flush();
      expect(outcomes).toEqual(
        Array.from({ length: 10 }, (_, index) =>
          hasHistory ? { epoch: expect.any(String), offset: index + 1 } : null,
        ),
      );
    });

    it('sends accepted publications before it closes', async () => {
      await using fixture = await start(2);
      const [first, last] = [fixture.relays[0], fixture.relays.at(-1)] as [Relay, Relay];
      await last.subscribe(topic(named('t')), null);
      const outcome = publishAcknowledged(first, named('t'), 'last words');
      await first.close();
      expect(first.state).toBe('closed');
      expect(await outcome).toEqual(hasHistory ? { epoch: expect.any(String), offset: 1 } : null);
      const delivery = fixture.deliveries.at(-1);
      await until('the publication has arrived', () => delivery?.of(named('t')).length === 1);
    });
  });
  describe(`${name} as a relay of topics with history`, () => {
    /** Publishes texts one after the other; returns their positions. */
    async function publishAll(relay: Relay, name: string, count: number, from = 1): Promise<Position[]> {
      const positions: Position[] = [];
      for (let number = from; number < from + count; number++) {
        positions.push((await publishAcknowledged(relay, name, number)) as Position);
      }
      return positions;
    }

    function textsOf(run: Run): string[] {
      const texts: string[] = [];
      forEachItem(run, ({ bytes, start, end }) => void texts.push(Buffer.from(bytes).toString('utf8', start, end)));
      return texts;
    }

    it('numbers the publications of a topic from 1, contiguously, for any number of publishers', async () => {
      await using fixture = await start(2);
      const [first, last] = [fixture.relays[0], fixture.relays.at(-1)] as [Relay, Relay];
      const positions: Position[] = [];
      for (let round = 0; round < 5; round++) {
        positions.push(...(await publishAll(first, 't', 1)), ...(await publishAll(last, 't', 1)));
      }
      expect(positions.map(({ offset }) => offset)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      expect(new Set(positions.map(({ epoch }) => epoch)).size).toBe(1);
      expect((await publishAll(first, 'other', 1))[0]?.offset).toBe(1);
    });

    it('keeps keys in the history, and in what a messageId leaves of a run', async () => {
      await using fixture = await start(2);
      const [first, last] = [fixture.relays[0], fixture.relays.at(-1)] as [Relay, Relay];
      await last.subscribe(topic('t'), null);
      const { position: since } = last.subscribeResult(topic('t'), null);
      const publish = (number: number, key: string | null, id: string): void =>
        first.publish(topic('t'), json(number, key, number === 3), scopedId(sharedScope, id), null);
      publish(1, 'a', 'one');
      await publishAcknowledged(first, 't', 2, 'two');
      // One run: the first two are known already.
      publish(1, 'a', 'one');
      publish(2, null, 'two');
      publish(3, 'c', 'three');
      publish(4, 'd', 'four');
      await publishAcknowledged(first, 't', 5, 'five');
      const delivery = fixture.deliveries.at(-1);
      await until('all publications have arrived', () => delivery?.of('t').length === 5);
      const all = ['a 1', '-c 3', 'd 4'];
      expect(delivery?.keyed).toEqual(all);
      expect(keyedOf(last.subscribeResult(topic('t'), since).publications)).toEqual(all);
      const page = await first.history(topic('t'), { since: null, limit: 2, direction: 'backward' });
      expect([textsOf(page.publications), keyedOf(page.publications)]).toEqual([['4', '5'], ['d 4']]);
      const { publications } = await last.history(topic('t'), { since, limit: 4, direction: 'forward' });
      expect([textsOf(publications), keyedOf(publications)]).toEqual([['1', '2', '3', '4'], all]);
    });

    it('lists the topics that have a history, in pages', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      const names = Array.from({ length: 250 }, (_, index) => `room.${index}`);
      await Promise.all([...names, 'other', 'fast.room'].map((name) => publishAcknowledged(relay, name, 1)));
      await publishAcknowledged(relay, 'last', 1, 'an id');
      async function list(prefix: string, limit: number): Promise<string[]> {
        const found = new Set<string>();
        for (let cursor: string | null = null, pages = 0; pages < 1_000; pages++) {
          const page = await relay.topics({ prefix, cursor, limit });
          for (const topic of page.topics) found.add(topic);
          if (page.next === null) return [...found].toSorted();
          cursor = page.next;
        }
        throw new Error('The list does not end.');
      }
      expect(await list('', 100)).toEqual(['last', 'other', ...names].toSorted());
      expect(await list('room.1', 7)).toEqual(names.filter((name) => name.startsWith('room.1')).toSorted());
      expect(await list('unknown', 1_000)).toEqual([]);
      // A pattern of Redis is no pattern here.
      expect(await list('*', 1_000)).toEqual([]);
      await expect(relay.topics({ prefix: '', cursor: '?', limit: 1 })).rejects.toMatchObject({ code: 'malformed' });
    });

    it('delivers in order of offset, with the offset', async () => {
      await using fixture = await start(2);
      await Promise.all(fixture.relays.map((relay) => relay.subscribe(topic('t'), null)));
      const [first, last] = [fixture.relays[0], fixture.relays.at(-1)] as [Relay, Relay];
      const accepted: [number, string][] = [];
      await Promise.all(
        [first, last].map(async (relay, node) => {
          for (let number = 0; number < 50; number++) {
            const position = (await publishAcknowledged(relay, 't', `${node}.${number}`)) as Position;
            accepted.push([position.offset, `"${node}.${number}"`]);
          }
        }),
      );
      const inOrder = accepted.toSorted(([one], [other]) => one - other).map(([, text]) => text);
      for (const delivery of fixture.deliveries) {
        await until('all publications have arrived', () => delivery.of('t').length === 100);
        expect(delivery.of('t')).toEqual(inOrder);
        let next = 1;
        for (const [index, offset] of (delivery.offsets.get(topic('t')) ?? []).entries()) {
          expect(offset).toBe(next);
          next += delivery.runs[index] ?? 0;
        }
      }
    });

    it('does not publish a messageId again, and returns its position', async () => {
      await using fixture = await start(2);
      const [first, last] = [fixture.relays[0], fixture.relays.at(-1)] as [Relay, Relay];
      await last.subscribe(topic('t'), null);
      const [zero] = await publishAll(first, 't', 1);
      const position = await publishAcknowledged(first, 't', 'a', 'id-1');
      expect(position).toEqual({ epoch: zero?.epoch, offset: 2 });
      expect(await publishAcknowledged(last, 't', 'a', 'id-1')).toEqual(position);
      // In one run with others, before and after it, and twice in the same turn.
      const outcomes = await Promise.all([
        publishAcknowledged(first, 't', 'b', 'id-2'),
        publishAcknowledged(first, 't', 'a', 'id-1'),
        publishAcknowledged(first, 't', 'c'),
        publishAcknowledged(first, 't', 'b', 'id-2'),
        publishAcknowledged(first, 't', 'd', 'id-3'),
      ]);
      expect(outcomes.map((outcome) => (outcome as Position).offset)).toEqual([3, 2, 4, 3, 5]);
      expect(await publishAcknowledged(first, 'u', 'a', 'id-1')).toMatchObject({ offset: 1 });
      const delivery = fixture.deliveries.at(-1);
      await until('all publications have arrived', () => delivery?.of('t').length === 5);
      expect(delivery?.of('t')).toEqual(['1', '"a"', '"b"', '"c"', '"d"']);
    });

    it('treats a messageId of another publisher as a different one, however long both are', async () => {
      await using fixture = await start(2);
      const [first, last] = [fixture.relays[0], fixture.relays.at(-1)] as [Relay, Relay];
      await last.subscribe(topic('t'), null);
      const id = 'i'.repeat(maxMessageIdBytes);
      // The longest names that a token may have.
      const scopes = [sharedScope, ...['ada', 'bob'].map((name) => scopeOf(`${'x'.repeat(512)}\n${name}`))];
      const publish = (relay: Relay, value: unknown) =>
        Promise.all(scopes.map((scope) => publishAcknowledged(relay, 't', value, id, scope)));
      const positions = await publish(first, 'once');
      expect(positions.map((position) => (position as Position).offset)).toEqual([1, 2, 3]);
      expect(await publish(last, 'again')).toEqual(positions);
      // Known and new publications in one run: the new ones get numbers, and are known afterwards.
      const mixed = await Promise.all([
        publishAcknowledged(last, 't', 'again', id, scopes[1]),
        publishAcknowledged(last, 't', 'new', 'other', scopes[1]),
        publishAcknowledged(last, 't', 'new too', 'other', scopes[2]),
      ]);
      expect(mixed.map((position) => (position as Position).offset)).toEqual([2, 4, 5]);
      expect(await publishAcknowledged(first, 't', 'again', 'other', scopes[2])).toEqual(mixed[2]);
      // In text form, a scoped messageId is one that no client can send in the shared scope.
      expect(isMessageId(scopedId(scopes[1] as IdScope, 'a'))).toBe(false);
      const delivery = fixture.deliveries.at(-1);
      await until('all publications have arrived', () => delivery?.of('t').length === 5);
      expect(delivery?.of('t')).toEqual(['"once"', '"once"', '"once"', '"new"', '"new too"']);
    });

    it('returns the position of a topic, and the publications after a given position', async () => {
      await using fixture = await start(2);
      const [first, last] = [fixture.relays[0], fixture.relays.at(-1)] as [Relay, Relay];
      await last.subscribe(topic('t'), null);
      const { position: beginning } = last.subscribeResult(topic('t'), null);
      expect(beginning).toEqual({ epoch: expect.any(String), offset: 0 });
      const positions = await publishAll(first, 't', 5);
      await until('all publications have arrived', () => fixture.deliveries.at(-1)?.of('t').length === 5);
      const since = async (position: Position | null) => {
        await last.subscribe(topic('t'), position);
        const { publications, ...standing } = last.subscribeResult(topic('t'), position);
        return { ...standing, texts: textsOf(publications) };
      };
      const position = positions[4];
      expect(await since(beginning)).toEqual({ position, recovered: true, texts: ['1', '2', '3', '4', '5'] });
      expect(await since(positions[2] as Position)).toEqual({ position, recovered: true, texts: ['4', '5'] });
      expect(await since(positions[4] as Position)).toEqual({ position, recovered: true, texts: [] });
      expect(await since(null)).toEqual({ position, recovered: false, texts: [] });
      expect(await since({ epoch: 'other', offset: 2 })).toEqual({ position, recovered: false, texts: [] });
      expect(await since({ epoch: position?.epoch ?? '', offset: 6 })).toEqual({
        position,
        recovered: false,
        texts: [],
      });
    });

    it('sends the last value to a new subscriber if the policy requires it', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      await publishAll(relay, 'last.t', 3);
      await relay.subscribe(topic('last.t'), null);
      const { position, recovered, publications } = relay.subscribeResult(topic('last.t'), null);
      expect({ position, recovered, texts: textsOf(publications) }).toMatchObject({
        position: { offset: 3 },
        recovered: false,
        texts: ['3'],
      });
    });

    it('returns the history, forward and backward, in pages', async () => {
      await using fixture = await start(2);
      const [first, last] = [fixture.relays[0], fixture.relays.at(-1)] as [Relay, Relay];
      // One turn, so that they are one entry: pages begin and end within it.
      await Promise.all([1, 2, 3].map((number) => publishAcknowledged(first, 't', number)));
      const [four] = (await publishAll(first, 't', 4, 4)) as [Position];
      const { epoch } = four;
      const page = async (since: number | null, limit: number, direction: 'forward' | 'backward') => {
        const request = { since: since === null ? null : { epoch, offset: since }, limit, direction };
        const answers = await Promise.all([first, last].map((relay) => relay.history(topic('t'), request)));
        const shown = answers.map(({ publications, ...rest }) => ({ ...rest, texts: textsOf(publications) }));
        expect(shown[0]).toEqual(shown[1]);
        expect(shown[0]?.position).toEqual({ epoch, offset: 7 });
        return [shown[0]?.first, shown[0]?.recovered, shown[0]?.texts.join()];
      };
      for (const listens of [false, true]) {
        if (listens) await first.subscribe(topic('t'), { epoch, offset: 0 });
        expect(await page(null, 2, 'forward')).toEqual([1, false, '1,2']);
        expect(await page(0, 2, 'forward')).toEqual([1, true, '1,2']);
        expect(await page(2, 3, 'forward')).toEqual([3, true, '3,4,5']);
        expect(await page(5, 100, 'forward')).toEqual([6, true, '6,7']);
        expect(await page(7, 100, 'forward')).toEqual([null, true, '']);
        expect(await page(9, 100, 'forward')).toEqual([null, false, '']);
        expect(await page(null, 2, 'backward')).toEqual([6, false, '6,7']);
        expect(await page(6, 3, 'backward')).toEqual([3, true, '3,4,5']);
        expect(await page(3, 1, 'backward')).toEqual([2, true, '2']);
        expect(await page(3, 100, 'backward')).toEqual([1, true, '1,2']);
        expect(await page(1, 100, 'backward')).toEqual([null, true, '']);
      }
      const other = { since: { epoch: '1', offset: 1 }, limit: 5, direction: 'forward' } as const;
      expect(await first.history(topic('t'), other)).toMatchObject({ recovered: false, first: null });
      expect(await first.history(topic('t'), { ...other, direction: 'backward' })).toMatchObject({ recovered: false });
      await expect(first.history(topic('fast.t'), { ...other, since: null })).rejects.toMatchObject({
        code: 'noHistory',
      });
    });

    it('returns a history of large publications in pages, forward and backward: all of it, each once', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      // Several for each reply, and some that are larger than their neighbours.
      const sizes = Array.from({ length: 12 }, (_, index) => [40_000, 100, 100_000, 60_000][index % 4] as number);
      for (const [index, size] of sizes.entries())
        await publishAcknowledged(relay, 't', `${index + 1}${'x'.repeat(size)}`);
      const all = sizes.map((_, index) => index + 1);
      for (const direction of ['forward', 'backward'] as const) {
        for (const limit of [1, 5, 1_000]) {
          const seen: number[] = [];
          let { position: since } = await relay.history(topic('t'), { since: null, limit: 1, direction: 'forward' });
          since = { ...since, offset: direction === 'forward' ? 0 : since.offset + 1 };
          for (;;) {
            const page = await relay.history(topic('t'), { since, limit, direction });
            expect(page.recovered).toBe(true);
            const { first, publications } = page;
            if (first === null) break;
            expect(publications.count).toBeLessThanOrEqual(limit);
            expect(publications.bytes.length).toBeLessThanOrEqual(262_144);
            const numbers = textsOf(publications).map((text) => Number.parseInt(text.slice(1), 10));
            expect(numbers[0]).toBe(first);
            if (direction === 'forward') seen.push(...numbers);
            else seen.unshift(...numbers);
            since = { ...since, offset: direction === 'forward' ? first + publications.count - 1 : first };
          }
          expect(seen).toEqual(all);
        }
      }
    });

    it('returns missed publications if they fit into a reply, however large older ones are', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      for (let number = 1; number <= 12; number++)
        await publishAcknowledged(relay, 't', `${number}${'x'.repeat(60_000)}`);
      const { position: head } = await relay.history(topic('t'), { since: null, limit: 1, direction: 'backward' });
      for (const [offset, missed] of [
        [1, []],
        [7, []],
        [8, [9, 10, 11, 12]],
        [11, [12]],
        [2, []],
        [9, [10, 11, 12]],
      ] as const) {
        const since = { ...head, offset };
        await relay.subscribe(topic('t'), since);
        const { recovered, publications } = relay.subscribeResult(topic('t'), since);
        expect(recovered).toBe(missed.length > 0);
        expect(textsOf(publications).map((text) => Number.parseInt(text.slice(1), 10))).toEqual(missed);
      }
    });

    it('keeps as much history as the policy requires, and reports if a position is older', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      const positions = await publishAll(relay, 'short.t', 1_000);
      const since = positions[995] as Position;
      await relay.subscribe(topic('short.t'), since);
      expect(textsOf(relay.subscribeResult(topic('short.t'), since).publications)).toEqual([
        '997',
        '998',
        '999',
        '1000',
      ]);
      const old = positions[10] as Position;
      await relay.subscribe(topic('short.t'), old);
      expect(relay.subscribeResult(topic('short.t'), old).recovered).toBe(false);
      const page = await relay.history(topic('short.t'), { since: old, limit: 100, direction: 'forward' });
      expect(page.recovered).toBe(false);
      // A few more than 4 exist: Redis trims its streams a node at a time.
      expect(page.first).toBeGreaterThan(500);
    });
  });
}
