/** The checker itself, with made-up deliveries: correct ones and every kind of error. */
import { describe, expect, it } from 'vitest';
import { type FindingCount, findingCounts } from '../src/checker/findings.js';
import { numbered, readNumbered } from '../src/checker/numbered.js';
import { PublishLedger } from '../src/checker/publish-ledger.js';
import { SubscriberLog } from '../src/checker/subscriber-log.js';
import { TopicOrder } from '../src/checker/topic-order.js';

/** One topic with its streams and logs. */
class World {
  readonly order = new TopicOrder(64);
  readonly ledgers: readonly PublishLedger[];

  constructor(streams = 1) {
    this.ledgers = Array.from({ length: streams }, () => new PublishLedger());
  }

  /** A confirmed subscriber. */
  log(maxHoles?: number): SubscriberLog {
    const log = new SubscriberLog({
      name: 'a subscriber',
      streams: [...this.ledgers.keys()],
      published: (stream) => this.#ledger(stream).published,
      order: this.order,
      ...(maxHoles === undefined ? {} : { maxHoles }),
    });
    log.confirm(null);
    return log;
  }

  /** Publishes `count` publications on a stream; those that are not in `fate` are acknowledged. */
  publish(count: number, fate: Readonly<Record<number, 'refused' | 'doubted' | 'pending'>> = {}, stream = 0): void {
    const ledger = this.#ledger(stream);
    for (let index = 0; index < count; index++) {
      const n = ledger.publish();
      if (fate[n] === 'refused') ledger.refuse(n);
      else if (fate[n] === 'doubted') ledger.doubt(n);
      else if (fate[n] === undefined) ledger.acknowledge(n);
    }
  }

  /** The findings, without counts of 0 and without `delivered`. */
  judge(log: SubscriberLog): Partial<Record<FindingCount, number>> {
    const findings = log.judge((stream) => this.#ledger(stream).entries());
    const names = (Object.keys(findingCounts) as FindingCount[]).filter((name) => name !== 'delivered');
    for (const name of names) {
      // Each finding has an example as text.
      if (findings[name] > 0 && !/^reported|withoutPosition/.test(name))
        expect(findings.examples[name]).not.toEqual(undefined);
    }
    return Object.fromEntries(names.filter((name) => findings[name] > 0).map((name) => [name, findings[name]]));
  }

  #ledger(stream: number): PublishLedger {
    const ledger = this.ledgers[stream];
    if (ledger === undefined) throw new Error(`There is no stream ${stream}.`);
    return ledger;
  }
}

/** Numbers of stream 0 in this order, each at the offset that is its number. */
function deliver(log: SubscriberLog, ...numbers: readonly number[]): void {
  for (const n of numbers) log.deliver(numbered(0, n, 0, ''), { epoch: 'a', offset: n });
}

describe('a log finds nothing if', () => {
  it('everything arrives once and in order', () => {
    const world = new World();
    const log = world.log();
    world.publish(5);
    deliver(log, 1, 2, 3, 4, 5);
    expect(world.judge(log)).toEqual({});
    expect(log.findings.delivered).toBe(5);
  });

  it('refused publications are missing, and doubted ones are missing or delivered', () => {
    const world = new World();
    const log = world.log();
    world.publish(6, { 2: 'refused', 3: 'doubted', 4: 'doubted', 6: 'pending' });
    for (const [offset, n] of [1, 4, 5].entries()) log.deliver(numbered(0, n, 0, ''), { epoch: 'a', offset });
    expect(world.judge(log)).toEqual({});
  });

  it('none or some of the publications from before the confirmation are delivered', () => {
    const world = new World();
    world.publish(9);
    const [late, early] = [world.log(), world.log()];
    world.publish(2);
    deliver(late, 10, 11);
    deliver(early, 8, 9, 10, 11);
    expect([world.judge(late), world.judge(early)]).toEqual([{}, {}]);
  });

  it('streams are interleaved in the same way for all subscribers', () => {
    const world = new World(2);
    const logs = [world.log(), world.log()];
    world.publish(2, {}, 0);
    world.publish(2, {}, 1);
    for (const log of logs) {
      for (const [offset, [stream, n]] of (
        [
          [0, 1],
          [1, 1],
          [1, 2],
          [0, 2],
        ] as const
      ).entries()) {
        log.deliver(numbered(stream, n, 0, ''), { epoch: 'a', offset });
      }
    }
    expect(logs.map((log) => world.judge(log))).toEqual([{}, {}]);
  });
});

describe('a log finds', () => {
  it('a loss in the middle', () => {
    const world = new World();
    const log = world.log();
    world.publish(5);
    deliver(log, 1, 2, 5);
    expect(world.judge(log)).toEqual({ lost: 2, silentGaps: 1 });
  });

  it('the loss of the last publications, which nothing follows', () => {
    const world = new World();
    const log = world.log();
    world.publish(5);
    deliver(log, 1, 2, 3);
    expect(world.judge(log)).toEqual({ lost: 2 });
  });

  it('the loss of everything', () => {
    const world = new World();
    const log = world.log();
    world.publish(5);
    expect(world.judge(log)).toEqual({ lost: 5 });
  });

  it('the loss of the first publications after the confirmation', () => {
    const world = new World();
    world.publish(3);
    const log = world.log();
    world.publish(3);
    deliver(log, 6);
    expect(world.judge(log)).toEqual({ lost: 2 });
  });

  it('positions that are missing right after the confirmation', () => {
    const world = new World();
    const log = world.log();
    log.confirm({ epoch: 'a', offset: 7 });
    world.publish(1);
    log.deliver(numbered(0, 1, 0, ''), { epoch: 'a', offset: 9 });
    expect(world.judge(log)).toEqual({ silentGaps: 1 });
  });

  it('a loss after a delivery that was published before the confirmation', () => {
    const world = new World();
    world.publish(3);
    const log = world.log();
    world.publish(3);
    deliver(log, 2, 4, 5, 6);
    expect(world.judge(log)).toEqual({ lost: 1, silentGaps: 1 });
  });

  it('a loss that positions hide', () => {
    const world = new World();
    const log = world.log();
    world.publish(3);
    for (const [offset, n] of [1, 3].entries()) log.deliver(numbered(0, n, 0, ''), { epoch: 'a', offset });
    expect(world.judge(log)).toEqual({ lost: 1 });
  });

  it('a skipped position without a skipped number', () => {
    const world = new World();
    const log = world.log();
    world.publish(2);
    log.deliver(numbered(0, 1, 0, ''), { epoch: 'a', offset: 1 });
    log.deliver(numbered(0, 2, 0, ''), { epoch: 'a', offset: 3 });
    expect(world.judge(log)).toEqual({ silentGaps: 1 });
  });

  it('a duplicate, at once and much later', () => {
    const world = new World();
    const log = world.log();
    world.publish(5);
    deliver(log, 1, 2, 2, 3, 4, 5, 1);
    expect(world.judge(log)).toEqual({ duplicates: 2 });
  });

  it('a duplicate at another position', () => {
    const world = new World();
    const log = world.log();
    world.publish(2);
    for (const [offset, n] of [1, 1, 2].entries()) log.deliver(numbered(0, n, 0, ''), { epoch: 'a', offset });
    expect(world.judge(log)).toEqual({ duplicates: 1 });
  });

  it('two swapped publications, even if the positions are in order', () => {
    const world = new World();
    const log = world.log();
    world.publish(4);
    for (const [offset, n] of [1, 3, 2, 4].entries()) log.deliver(numbered(0, n, 0, ''), { epoch: 'a', offset });
    expect(world.judge(log)).toEqual({ outOfOrder: 1 });
  });

  it('two publications that were swapped with their positions', () => {
    const world = new World();
    const log = world.log();
    world.publish(4);
    deliver(log, 1, 3, 2, 4);
    expect(world.judge(log)).toEqual({ outOfOrder: 2, silentGaps: 1 });
  });

  it('a doubted publication that is delivered late', () => {
    const world = new World();
    const log = world.log();
    world.publish(4, { 2: 'doubted' });
    for (const [offset, n] of [1, 3, 4, 2].entries()) log.deliver(numbered(0, n, 0, ''), { epoch: 'a', offset });
    expect(world.judge(log)).toEqual({ lateInDoubt: 1 });
  });

  it.each([
    ['another number', { ...numbered(0, 1, 5, 'xx'), n: 2 }],
    ['another stream', { ...numbered(0, 1, 5, 'xx'), stream: 1 }],
    ['another time', { ...numbered(0, 1, 5, 'xx'), plannedUs: 6 }],
    ['another filler', { ...numbered(0, 1, 5, 'xx'), filler: 'xy' }],
    ['a missing field', { stream: 0, n: 1, plannedUs: 5, filler: 'xx' }],
    ['text', '1'],
    ['nothing', null],
  ])('damage: %s', (_, data) => {
    const world = new World();
    const log = world.log();
    world.publish(1);
    expect(readNumbered(data)).toBeNull();
    log.deliver(data, { epoch: 'a', offset: 1 });
    expect(world.judge(log)).toEqual({ corrupt: 1, lost: 1 });
  });

  it('a publication of another topic', () => {
    const world = new World();
    const log = world.log();
    log.deliver(numbered(7, 1, 0, ''), { epoch: 'a', offset: 1 });
    expect(world.judge(log)).toEqual({ corrupt: 1 });
  });

  it('a number that was not published', () => {
    const world = new World();
    const log = world.log();
    world.publish(1);
    deliver(log, 1, 2);
    expect(world.judge(log)).toEqual({ corrupt: 1 });
  });

  it('a refused publication that is delivered, even late', () => {
    const world = new World();
    const logs = [world.log(), world.log()];
    world.publish(3, { 2: 'refused' });
    const [prompt, late] = logs as [SubscriberLog, SubscriberLog];
    for (const [offset, n] of [1, 2, 3].entries()) prompt.deliver(numbered(0, n, 0, ''), { epoch: 'a', offset });
    for (const [offset, n] of [1, 3, 2].entries()) late.deliver(numbered(0, n, 0, ''), { epoch: 'b', offset });
    expect(world.judge(prompt)).toEqual({ refusedButDelivered: 1 });
    expect(world.judge(late)).toEqual({ refusedButDelivered: 1, outOfOrder: 1 });
  });

  it('a different order for different subscribers', () => {
    const world = new World(2);
    const [one, other] = [world.log(), world.log()];
    world.publish(1, {}, 0);
    world.publish(1, {}, 1);
    for (const [offset, stream] of [0, 1].entries()) one.deliver(numbered(stream, 1, 0, ''), { epoch: 'a', offset });
    for (const [offset, stream] of [1, 0].entries()) other.deliver(numbered(stream, 1, 0, ''), { epoch: 'a', offset });
    expect(world.judge(one)).toEqual({});
    expect(world.judge(other)).toEqual({ disagreements: 2 });
  });

  it('a delivery without a position', () => {
    const world = new World();
    const log = world.log();
    world.publish(1);
    log.deliver(numbered(0, 1, 0, ''), null);
    expect(world.judge(log)).toEqual({ withoutPosition: 1 });
  });

  it('another epoch without a reset event', () => {
    const world = new World();
    const log = world.log();
    world.publish(2);
    log.deliver(numbered(0, 1, 0, ''), { epoch: 'a', offset: 8 });
    log.deliver(numbered(0, 2, 0, ''), { epoch: 'b', offset: 1 });
    expect(world.judge(log)).toEqual({ silentResets: 1 });
  });

  it('the end of a subscription', () => {
    const world = new World();
    const log = world.log();
    log.end('forbidden');
    expect(world.judge(log)).toEqual({ ended: 1 });
  });

  it('more holes than it can remember', () => {
    const world = new World();
    const log = world.log(2);
    world.publish(9);
    deliver(log, 1, 3, 5, 7, 9);
    expect(world.judge(log)).toEqual({ lost: 2, untracked: 2, silentGaps: 4 });
  });
});

describe('a reported gap or reset', () => {
  it.each(['gap', 'reset'] as const)('excuses missing publications at its place (%s)', (event) => {
    const world = new World();
    const log = world.log();
    world.publish(5);
    deliver(log, 1, 2);
    log.report(event, null);
    deliver(log, 5);
    const reported = event === 'gap' ? { reportedGaps: 1 } : { reportedResets: 1 };
    expect(world.judge(log)).toEqual({ ...reported, lostButReported: 2 });
  });

  it('excuses the end, if nothing follows', () => {
    const world = new World();
    const log = world.log();
    world.publish(3);
    deliver(log, 1);
    log.report('gap', null);
    expect(log.reached(0)).toBe(3);
    expect(world.judge(log)).toEqual({ reportedGaps: 1, lostButReported: 2 });
  });

  it('excuses positions up to its own, and none after it', () => {
    const world = new World();
    const [right, wrong] = [world.log(), world.log()];
    world.publish(5);
    for (const log of [right, wrong]) {
      deliver(log, 1, 2);
      log.report('gap', { epoch: 'a', offset: 3 });
    }
    deliver(right, 4, 5);
    deliver(wrong, 5);
    expect(world.judge(right)).toEqual({ reportedGaps: 1, lostButReported: 1 });
    expect(world.judge(wrong)).toEqual({ reportedGaps: 1, lostButReported: 2, silentGaps: 1 });
  });

  it('excuses its own epoch, and no other', () => {
    const world = new World();
    const [right, wrong] = [world.log(), world.log()];
    world.publish(2);
    for (const [log, epoch] of [
      [right, 'b'],
      [wrong, 'c'],
    ] as const) {
      deliver(log, 1);
      log.report('reset', { epoch: 'b', offset: 0 });
      log.deliver(numbered(0, 2, 0, ''), { epoch, offset: 1 });
    }
    expect(world.judge(right)).toEqual({ reportedResets: 1 });
    expect(world.judge(wrong)).toEqual({ reportedResets: 1, silentResets: 1 });
  });

  it('does not excuse publications that are missing elsewhere', () => {
    const world = new World();
    const log = world.log();
    world.publish(6);
    deliver(log, 1);
    log.report('gap', null);
    deliver(log, 3, 4, 6);
    expect(world.judge(log)).toEqual({ reportedGaps: 1, lostButReported: 1, lost: 1, silentGaps: 1 });
  });

  it('does not excuse publications that were missing before', () => {
    const world = new World();
    const log = world.log();
    world.publish(4);
    deliver(log, 1, 3);
    log.report('gap', null);
    deliver(log, 4);
    expect(world.judge(log)).toEqual({ reportedGaps: 1, lost: 1, silentGaps: 1 });
  });

  it('does not excuse publications after it', () => {
    const world = new World();
    const log = world.log();
    world.publish(2);
    deliver(log, 1);
    log.report('gap', null);
    world.publish(3);
    expect(log.reached(0)).toBe(2);
    deliver(log, 5);
    expect(world.judge(log)).toEqual({ reportedGaps: 1, lostButReported: 1, lost: 2 });
  });

  it('does not excuse publications after it if nothing follows', () => {
    const world = new World();
    const log = world.log();
    world.publish(2);
    deliver(log, 1);
    log.report('reset', null);
    world.publish(3);
    expect(world.judge(log)).toEqual({ reportedResets: 1, lostButReported: 1, lost: 3 });
  });

  it('does not excuse duplicates and late deliveries', () => {
    const world = new World();
    const log = world.log();
    world.publish(5);
    deliver(log, 1, 2);
    log.report('reset', null);
    for (const [offset, n] of [2, 4, 3, 5].entries()) log.deliver(numbered(0, n, 0, ''), { epoch: 'b', offset });
    expect(world.judge(log)).toEqual({ reportedResets: 1, duplicates: 1, outOfOrder: 1 });
  });
});

describe('the order of a topic', () => {
  it('forgets the oldest positions, and never treats them as new ones', () => {
    const order = new TopicOrder(4);
    for (let offset = 1; offset <= 6; offset++) expect(order.note({ epoch: 'a', offset }, 0, offset)).toBe('first');
    expect(order.note({ epoch: 'a', offset: 2 }, 0, 99)).toBe('forgotten');
    expect(order.note({ epoch: 'a', offset: 6 }, 0, 6)).toBe('agreed');
    expect(order.note({ epoch: 'a', offset: 6 }, 1, 6)).toBe('disagreed');
    expect(order.note({ epoch: 'b', offset: 2 }, 0, 7)).toBe('first');
    expect(order.note({ epoch: 'a', offset: 6 }, 0, 6)).toBe('forgotten');
  });
});

describe('a ledger', () => {
  it('has the outcome of each number', () => {
    const ledger = new PublishLedger();
    for (let count = 0; count < 6; count++) ledger.publish();
    ledger.acknowledge(1);
    ledger.refuse(2);
    ledger.doubt(3);
    ledger.acknowledge(5);
    expect(ledger).toMatchObject({ published: 6, acknowledged: 2, refused: 1, doubted: 1, pending: 2 });
    expect(ledger).toMatchObject({ lastAcknowledged: 5, settledUpTo: 3 });
    expect(ledger.entries()).toEqual({
      published: 6,
      lastAcknowledged: 5,
      refused: [{ from: 2, to: 2 }],
      unknown: [
        { from: 3, to: 4 },
        { from: 6, to: 6 },
      ],
    });
    ledger.refuse(5);
    expect(ledger).toMatchObject({ acknowledged: 2, refused: 1 });
  });
});
