/** What every relay promises (relay.ts); each implementation runs this suite. */
import {
  forEachItem,
  type Payload,
  type Position,
  parseTopic,
  ReplyError,
  type Run,
  type Topic,
} from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import type { Delivery, Receipt, Relay } from '../src/relay/relay.js';
import { until } from './wait.js';

export interface RelayFixture extends AsyncDisposable {
  /** Relays that form one broker: one where the implementation knows no others. */
  readonly relays: readonly Relay[];
  readonly deliveries: readonly RecordedDelivery[];
}

export type StartRelays = (count: number) => Promise<RelayFixture>;

/** Writes down what a relay delivers on one node. */
export class RecordedDelivery implements Delivery {
  readonly received = new Map<Topic, string[]>();
  readonly runs: number[] = [];
  readonly gaps: Topic[] = [];
  onDeliver: () => void = () => undefined;
  onGap: () => void = () => undefined;

  deliver(topic: Topic, _position: Position | null, run: Run): boolean {
    this.onDeliver();
    this.runs.push(run.count);
    forEachItem(run, ({ bytes, start, end }) => {
      const texts = this.received.get(topic) ?? [];
      texts.push(Buffer.from(bytes).toString('utf8', start, end));
      this.received.set(topic, texts);
    });
    return true;
  }

  tellGap(topic: Topic): void {
    this.onGap();
    this.gaps.push(topic);
  }

  of(name: string): readonly string[] {
    return this.received.get(topic(name)) ?? [];
  }
}

export function topic(name: string): Topic {
  const parsed = parseTopic(name);
  if (parsed === null) throw new Error(`${name} is no topic`);
  return parsed;
}

export function json(value: unknown): Payload {
  const bytes = Buffer.from(JSON.stringify(value));
  return { encoding: 'json', bytes, start: 0, end: bytes.length };
}

/** Publishes with a receipt and resolves with the outcome. */
export function publishAcknowledged(relay: Relay, name: string, value: unknown): Promise<Position | null | ReplyError> {
  return new Promise((resolve) => {
    const receipt: Receipt = { accepted: resolve, failed: resolve };
    try {
      relay.publish(topic(name), json(value), receipt);
    } catch (error) {
      if (!(error instanceof ReplyError)) throw error;
      resolve(error);
    }
  });
}

export function relayContract(name: string, start: StartRelays): void {
  describe(`${name} as a relay`, () => {
    it('delivers to the subscribers of its own node, in order', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      await relay.subscribe(topic('news'));
      for (let number = 0; number < 100; number++) relay.publish(topic('news'), json(number), null);
      await publishAcknowledged(relay, 'news', 100);
      expect(fixture.deliveries[0]?.of('news')).toEqual(Array.from({ length: 101 }, (_, index) => String(index)));
    });

    it('delivers what a node took in to every node that listens, in order', async () => {
      await using fixture = await start(3);
      await Promise.all(fixture.relays.map((relay) => relay.subscribe(topic('news'))));
      const [first] = fixture.relays as [Relay];
      const expected = Array.from({ length: 200 }, (_, index) => String(index));
      for (const text of expected) first.publish(topic('news'), json(Number(text)), null);
      for (const delivery of fixture.deliveries) {
        await until('all have come', () => delivery.of('news').length === expected.length);
        expect(delivery.of('news')).toEqual(expected);
      }
    });

    it('delivers everything that is accepted after subscribe has resolved', async () => {
      await using fixture = await start(2);
      const [first, last] = [fixture.relays[0], fixture.relays.at(-1)] as [Relay, Relay];
      for (let round = 0; round < 20; round++) {
        await last.subscribe(topic(`t${round}`));
        expect(await publishAcknowledged(first, `t${round}`, round)).toBeNull();
        const delivery = fixture.deliveries.at(-1);
        await until('it has come', () => delivery?.of(`t${round}`).length === 1);
      }
    });

    it('gathers the publications of a turn into one run for each topic', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      for (let number = 0; number < 50; number++)
        relay.publish(topic(number % 2 === 0 ? 'even' : 'odd'), json(number), null);
      await publishAcknowledged(relay, 'even', 50);
      expect(fixture.deliveries[0]?.runs).toEqual([26, 25]);
    });

    it('keeps each run below 16 KiB unless a single publication is longer', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      const long = 'x'.repeat(5_000);
      for (const value of [long, long, long, long, long.repeat(5), 'short'])
        relay.publish(topic('t'), json(value), null);
      await publishAcknowledged(relay, 't', 'end');
      expect(fixture.deliveries[0]?.runs).toEqual([3, 1, 1, 2]);
    });

    it('copies payloads, so that the frame they came in may be reused', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      const payload = json('before');
      relay.publish(topic('t'), payload, null);
      payload.bytes.fill(0x20);
      await publishAcknowledged(relay, 't', 'end');
      expect(fixture.deliveries[0]?.of('t')[0]).toBe('"before"');
    });

    it('never tells an outcome before publish has returned', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      let hasReturned = false;
      const outcome = new Promise<boolean>((resolve) => {
        const tell = (): void => resolve(hasReturned);
        relay.publish(topic('t'), json(1), { accepted: tell, failed: tell });
        hasReturned = true;
      });
      expect(await outcome).toBe(true);
    });

    it('takes repeated subscribe and unsubscribe calls', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      relay.unsubscribe(topic('t'));
      await Promise.all([relay.subscribe(topic('t')), relay.subscribe(topic('t'))]);
      relay.unsubscribe(topic('t'));
      relay.unsubscribe(topic('t'));
      await relay.subscribe(topic('t'));
      await publishAcknowledged(relay, 't', 1);
      await until('it has come', () => fixture.deliveries[0]?.of('t').length === 1);
    });

    it('has told every outcome when it is flushed', async () => {
      await using fixture = await start(1);
      const [relay] = fixture.relays as [Relay];
      const outcomes: unknown[] = [];
      const receipt: Receipt = {
        accepted: (position) => outcomes.push(position),
        failed: (error) => outcomes.push(error),
      };
      for (let number = 0; number < 10; number++) relay.publish(topic('t'), json(number), receipt);
      await relay.flush();
      expect(outcomes).toEqual(Array.from({ length: 10 }, () => null));
    });

    it('sends what was taken in before it closes', async () => {
      await using fixture = await start(2);
      const [first, last] = [fixture.relays[0], fixture.relays.at(-1)] as [Relay, Relay];
      await last.subscribe(topic('t'));
      const outcome = publishAcknowledged(first, 't', 'last words');
      await first.close();
      expect(first.state).toBe('closed');
      expect(await outcome).toBeNull();
      const delivery = fixture.deliveries.at(-1);
      await until('it has come', () => delivery?.of('t').length === 1);
    });
  });
}
