/** The checker itself: made-up deliveries, right ones and every kind of wrong. */
import { describe, expect, it } from 'vitest';
import { type FindingCount, findingCounts } from '../src/findings.js';
import { Ledger } from '../src/ledger.js';
import { numbered, readNumbered } from '../src/numbered.js';
import { TopicOrder } from '../src/topic-order.js';
import { Witness } from '../src/witness.js';

/** One topic with its lanes, and as many witnesses as are asked for. */
class World {
  readonly order = new TopicOrder(64);
  readonly ledgers: readonly Ledger[];

  constructor(lanes = 1) {
    this.ledgers = Array.from({ length: lanes }, () => new Ledger());
  }

  /** A confirmed subscriber. */
  witness(maxHoles?: number): Witness {
    const witness = new Witness({
      name: 'a subscriber',
      lanes: [...this.ledgers.keys()],
      published: (lane) => this.#ledger(lane).published,
      order: this.order,
      ...(maxHoles === undefined ? {} : { maxHoles }),
    });
    witness.confirm(null);
    return witness;
  }

  /** Publishes so many on a lane; those that `fate` does not name are acknowledged. */
  publish(count: number, fate: Readonly<Record<number, 'refused' | 'doubted' | 'pending'>> = {}, lane = 0): void {
    const ledger = this.#ledger(lane);
    for (let index = 0; index < count; index++) {
      const n = ledger.publish();
      if (fate[n] === 'refused') ledger.refuse(n);
      else if (fate[n] === 'doubted') ledger.doubt(n);
      else if (fate[n] === undefined) ledger.acknowledge(n);
    }
  }

  /** What is found, without counts of 0 and without `delivered`. */
  judge(witness: Witness): Partial<Record<FindingCount, number>> {
    const findings = witness.judge((lane) => this.#ledger(lane).entries());
    const names = (Object.keys(findingCounts) as FindingCount[]).filter((name) => name !== 'delivered');
    for (const name of names) {
      // What is found is also told in words.
      if (findings[name] > 0 && !/^told|withoutPosition/.test(name))
        expect(findings.examples[name]).not.toEqual(undefined);
    }
    return Object.fromEntries(names.filter((name) => findings[name] > 0).map((name) => [name, findings[name]]));
  }

  #ledger(lane: number): Ledger {
    const ledger = this.ledgers[lane];
    if (ledger === undefined) throw new Error(`There is no lane ${lane}.`);
    return ledger;
  }
}

/** Numbers of lane 0 in this order, each at the offset that is its number. */
function deliver(witness: Witness, ...numbers: readonly number[]): void {
  for (const n of numbers) witness.deliver(numbered(0, n, 0, ''), { epoch: 'a', offset: n });
}

describe('a witness finds nothing where', () => {
  it('everything comes once, in order', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(5);
    deliver(witness, 1, 2, 3, 4, 5);
    expect(world.judge(witness)).toEqual({});
    expect(witness.findings.delivered).toBe(5);
  });

  it('what was refused is missing, and what is in doubt is missing or there', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(6, { 2: 'refused', 3: 'doubted', 4: 'doubted', 6: 'pending' });
    for (const [offset, n] of [1, 4, 5].entries()) witness.deliver(numbered(0, n, 0, ''), { epoch: 'a', offset });
    expect(world.judge(witness)).toEqual({});
  });

  it('what was published before it was confirmed does not come, or comes in part', () => {
    const world = new World();
    world.publish(9);
    const [late, early] = [world.witness(), world.witness()];
    world.publish(2);
    deliver(late, 10, 11);
    deliver(early, 8, 9, 10, 11);
    expect([world.judge(late), world.judge(early)]).toEqual([{}, {}]);
  });

  it('lanes are interleaved alike for all', () => {
    const world = new World(2);
    const witnesses = [world.witness(), world.witness()];
    world.publish(2, {}, 0);
    world.publish(2, {}, 1);
    for (const witness of witnesses) {
      for (const [offset, [lane, n]] of (
        [
          [0, 1],
          [1, 1],
          [1, 2],
          [0, 2],
        ] as const
      ).entries()) {
        witness.deliver(numbered(lane, n, 0, ''), { epoch: 'a', offset });
      }
    }
    expect(witnesses.map((witness) => world.judge(witness))).toEqual([{}, {}]);
  });
});

describe('a witness finds', () => {
  it('a loss in the middle', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(5);
    deliver(witness, 1, 2, 5);
    expect(world.judge(witness)).toEqual({ lost: 2, untoldGaps: 1 });
  });

  it('the loss of the last ones, which nothing follows', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(5);
    deliver(witness, 1, 2, 3);
    expect(world.judge(witness)).toEqual({ lost: 2 });
  });

  it('the loss of everything', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(5);
    expect(world.judge(witness)).toEqual({ lost: 5 });
  });

  it('the loss of the first ones after the confirmation', () => {
    const world = new World();
    world.publish(3);
    const witness = world.witness();
    world.publish(3);
    deliver(witness, 6);
    expect(world.judge(witness)).toEqual({ lost: 2 });
  });

  it('positions that are missing right behind the confirmation', () => {
    const world = new World();
    const witness = world.witness();
    witness.confirm({ epoch: 'a', offset: 7 });
    world.publish(1);
    witness.deliver(numbered(0, 1, 0, ''), { epoch: 'a', offset: 9 });
    expect(world.judge(witness)).toEqual({ untoldGaps: 1 });
  });

  it('a loss behind one that came although it was published before the confirmation', () => {
    const world = new World();
    world.publish(3);
    const witness = world.witness();
    world.publish(3);
    deliver(witness, 2, 4, 5, 6);
    expect(world.judge(witness)).toEqual({ lost: 1, untoldGaps: 1 });
  });

  it('a loss that positions hide', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(3);
    for (const [offset, n] of [1, 3].entries()) witness.deliver(numbered(0, n, 0, ''), { epoch: 'a', offset });
    expect(world.judge(witness)).toEqual({ lost: 1 });
  });

  it('a position that is left out though no number is', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(2);
    witness.deliver(numbered(0, 1, 0, ''), { epoch: 'a', offset: 1 });
    witness.deliver(numbered(0, 2, 0, ''), { epoch: 'a', offset: 3 });
    expect(world.judge(witness)).toEqual({ untoldGaps: 1 });
  });

  it('a duplicate, at once and much later', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(5);
    deliver(witness, 1, 2, 2, 3, 4, 5, 1);
    expect(world.judge(witness)).toEqual({ duplicates: 2 });
  });

  it('a duplicate at a position of its own', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(2);
    for (const [offset, n] of [1, 1, 2].entries()) witness.deliver(numbered(0, n, 0, ''), { epoch: 'a', offset });
    expect(world.judge(witness)).toEqual({ duplicates: 1 });
  });

  it('two that were swapped, also where the positions are in order', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(4);
    for (const [offset, n] of [1, 3, 2, 4].entries()) witness.deliver(numbered(0, n, 0, ''), { epoch: 'a', offset });
    expect(world.judge(witness)).toEqual({ outOfOrder: 1 });
  });

  it('two that were swapped with their positions', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(4);
    deliver(witness, 1, 3, 2, 4);
    expect(world.judge(witness)).toEqual({ outOfOrder: 2, untoldGaps: 1 });
  });

  it('one that was given up and comes late all the same', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(4, { 2: 'doubted' });
    for (const [offset, n] of [1, 3, 4, 2].entries()) witness.deliver(numbered(0, n, 0, ''), { epoch: 'a', offset });
    expect(world.judge(witness)).toEqual({ lateInDoubt: 1 });
  });

  it.each([
    ['another number', { ...numbered(0, 1, 5, 'xx'), n: 2 }],
    ['another lane', { ...numbered(0, 1, 5, 'xx'), lane: 1 }],
    ['another time', { ...numbered(0, 1, 5, 'xx'), plannedUs: 6 }],
    ['another filler', { ...numbered(0, 1, 5, 'xx'), filler: 'xy' }],
    ['a field less', { lane: 0, n: 1, plannedUs: 5, filler: 'xx' }],
    ['text', '1'],
    ['nothing', null],
  ])('damage: %s', (_, data) => {
    const world = new World();
    const witness = world.witness();
    world.publish(1);
    expect(readNumbered(data)).toBeNull();
    witness.deliver(data, { epoch: 'a', offset: 1 });
    expect(world.judge(witness)).toEqual({ corrupt: 1, lost: 1 });
  });

  it('a publication of another topic', () => {
    const world = new World();
    const witness = world.witness();
    witness.deliver(numbered(7, 1, 0, ''), { epoch: 'a', offset: 1 });
    expect(world.judge(witness)).toEqual({ corrupt: 1 });
  });

  it('a number that nobody has published', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(1);
    deliver(witness, 1, 2);
    expect(world.judge(witness)).toEqual({ corrupt: 1 });
  });

  it('what was refused but is delivered, also when it comes late', () => {
    const world = new World();
    const witnesses = [world.witness(), world.witness()];
    world.publish(3, { 2: 'refused' });
    const [prompt, late] = witnesses as [Witness, Witness];
    for (const [offset, n] of [1, 2, 3].entries()) prompt.deliver(numbered(0, n, 0, ''), { epoch: 'a', offset });
    for (const [offset, n] of [1, 3, 2].entries()) late.deliver(numbered(0, n, 0, ''), { epoch: 'b', offset });
    expect(world.judge(prompt)).toEqual({ refusedButDelivered: 1 });
    expect(world.judge(late)).toEqual({ refusedButDelivered: 1, outOfOrder: 1 });
  });

  it('that subscribers disagree about the order', () => {
    const world = new World(2);
    const [one, other] = [world.witness(), world.witness()];
    world.publish(1, {}, 0);
    world.publish(1, {}, 1);
    for (const [offset, lane] of [0, 1].entries()) one.deliver(numbered(lane, 1, 0, ''), { epoch: 'a', offset });
    for (const [offset, lane] of [1, 0].entries()) other.deliver(numbered(lane, 1, 0, ''), { epoch: 'a', offset });
    expect(world.judge(one)).toEqual({});
    expect(world.judge(other)).toEqual({ disagreements: 2 });
  });

  it('a delivery without a position', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(1);
    witness.deliver(numbered(0, 1, 0, ''), null);
    expect(world.judge(witness)).toEqual({ withoutPosition: 1 });
  });

  it('another epoch of which nobody told', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(2);
    witness.deliver(numbered(0, 1, 0, ''), { epoch: 'a', offset: 8 });
    witness.deliver(numbered(0, 2, 0, ''), { epoch: 'b', offset: 1 });
    expect(world.judge(witness)).toEqual({ untoldResets: 1 });
  });

  it('the end of a subscription', () => {
    const world = new World();
    const witness = world.witness();
    witness.end('forbidden');
    expect(world.judge(witness)).toEqual({ ended: 1 });
  });

  it('more holes than it can remember', () => {
    const world = new World();
    const witness = world.witness(2);
    world.publish(9);
    deliver(witness, 1, 3, 5, 7, 9);
    expect(world.judge(witness)).toEqual({ lost: 2, untracked: 2, untoldGaps: 4 });
  });
});

describe('a gap or reset that is told', () => {
  it.each(['gap', 'reset'] as const)('excuses what is missing right there (%s)', (event) => {
    const world = new World();
    const witness = world.witness();
    world.publish(5);
    deliver(witness, 1, 2);
    witness.tell(event, null);
    deliver(witness, 5);
    const told = event === 'gap' ? { toldGaps: 1 } : { toldResets: 1 };
    expect(world.judge(witness)).toEqual({ ...told, lostButTold: 2 });
  });

  it('excuses the end, if nothing follows', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(3);
    deliver(witness, 1);
    witness.tell('gap', null);
    expect(witness.reached(0)).toBe(3);
    expect(world.judge(witness)).toEqual({ toldGaps: 1, lostButTold: 2 });
  });

  it('excuses positions up to the one that it tells, and none behind it', () => {
    const world = new World();
    const [right, wrong] = [world.witness(), world.witness()];
    world.publish(5);
    for (const witness of [right, wrong]) {
      deliver(witness, 1, 2);
      witness.tell('gap', { epoch: 'a', offset: 3 });
    }
    deliver(right, 4, 5);
    deliver(wrong, 5);
    expect(world.judge(right)).toEqual({ toldGaps: 1, lostButTold: 1 });
    expect(world.judge(wrong)).toEqual({ toldGaps: 1, lostButTold: 2, untoldGaps: 1 });
  });

  it('excuses the epoch that it tells, and no other', () => {
    const world = new World();
    const [right, wrong] = [world.witness(), world.witness()];
    world.publish(2);
    for (const [witness, epoch] of [
      [right, 'b'],
      [wrong, 'c'],
    ] as const) {
      deliver(witness, 1);
      witness.tell('reset', { epoch: 'b', offset: 0 });
      witness.deliver(numbered(0, 2, 0, ''), { epoch, offset: 1 });
    }
    expect(world.judge(right)).toEqual({ toldResets: 1 });
    expect(world.judge(wrong)).toEqual({ toldResets: 1, untoldResets: 1 });
  });

  it('does not excuse what is missing elsewhere', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(6);
    deliver(witness, 1);
    witness.tell('gap', null);
    deliver(witness, 3, 4, 6);
    expect(world.judge(witness)).toEqual({ toldGaps: 1, lostButTold: 1, lost: 1, untoldGaps: 1 });
  });

  it('does not excuse what was missing before', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(4);
    deliver(witness, 1, 3);
    witness.tell('gap', null);
    deliver(witness, 4);
    expect(world.judge(witness)).toEqual({ toldGaps: 1, lost: 1, untoldGaps: 1 });
  });

  it('does not excuse what was published after it', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(2);
    deliver(witness, 1);
    witness.tell('gap', null);
    world.publish(3);
    expect(witness.reached(0)).toBe(2);
    deliver(witness, 5);
    expect(world.judge(witness)).toEqual({ toldGaps: 1, lostButTold: 1, lost: 2 });
  });

  it('does not excuse the end that was published after it', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(2);
    deliver(witness, 1);
    witness.tell('reset', null);
    world.publish(3);
    expect(world.judge(witness)).toEqual({ toldResets: 1, lostButTold: 1, lost: 3 });
  });

  it('does not excuse duplicates and what comes late', () => {
    const world = new World();
    const witness = world.witness();
    world.publish(5);
    deliver(witness, 1, 2);
    witness.tell('reset', null);
    for (const [offset, n] of [2, 4, 3, 5].entries()) witness.deliver(numbered(0, n, 0, ''), { epoch: 'b', offset });
    expect(world.judge(witness)).toEqual({ toldResets: 1, duplicates: 1, outOfOrder: 1 });
  });
});

describe('the order of a topic', () => {
  it('forgets the oldest positions, and never takes them for new ones', () => {
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
  it('knows what became of each number', () => {
    const ledger = new Ledger();
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
