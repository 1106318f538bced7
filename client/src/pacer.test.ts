/** The pacer against a token bucket, in simulated time: the same each time, however fast the machine is. */
import { describe, expect, it, vi } from 'vitest';
import { Pacer } from './pacer.js';

interface Setup {
  readonly clients: number;
  /** Commands that each client wants to send, and the time between them; 0: all at once. */
  readonly each: number;
  readonly everyMs?: number;
  readonly rate: number;
  readonly burst: number;
  readonly roundTripMs: number;
  /**
   * Whether all commands are for one topic: after a refusal the client sends them one by one until one is accepted, to
   * keep the order.
   */
  readonly isOrdered?: boolean;
}

/** A node's token bucket for one user, as in broker/src/limits/token-bucket.ts; used for commands and for refusals. */
class Bucket {
  #left: number;
  #filledAt = 0;
  #promised = Number.NEGATIVE_INFINITY;

  constructor(
    readonly rate: number,
    readonly burst: number,
  ) {
    this.#left = burst;
  }

  /** 0, or the milliseconds after which the client may send the command again. */
  admit(now: number): number {
    this.#left = Math.min(this.burst, this.#left + ((now - this.#filledAt) * this.rate) / 1_000);
    this.#filledAt = now;
    if (this.#left >= 1) {
      this.#left--;
      return 0;
    }
    const readyMs = now + ((1 - this.#left) * 1_000) / this.rate;
    this.#promised = Math.max(readyMs, this.#promised + 1_000 / this.rate);
    return Math.max(1, Math.ceil(this.#promised - now));
  }
}

/** Runs the simulation. Returns its duration, and how many commands were refused and connections closed. */
function play({ clients, each, everyMs = 0, rate, burst, roundTripMs, isOrdered = false }: Setup) {
  let now = 0;
  let seed = 1;
  const random = (): number => {
    seed = (seed * 16_807) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  // A spy would remember each of a million calls.
  vi.stubGlobal('performance', { now: () => now });
  const events: Array<[at: number, act: () => void]> = [];
  const at = (time: number, act: () => void): void => {
    let place = events.length;
    while (place > 0 && (events[place - 1] as [number, unknown])[0] <= time) place--;
    events.splice(place, 0, [time, act]);
  };
  const commands = new Bucket(rate, burst);
  const refusals = new Bucket(Math.max(10, rate * 0.4), Math.max(1_000, rate * 20));
  const outcome = { ms: 0, refused: 0, closed: 0, accepted: 0, mostUnanswered: 0 };
  for (let client = 0; client < clients; client++) {
    const pacer = new Pacer(600);
    let [waiting, unanswered, timer, arrival, answer] = [0, 0, 0, 0, 0];
    let isTried = true;
    const way = (): number => (roundTripMs / 2) * (1 + 0.3 * random());
    /** The commands of one turn arrive in one frame, and one frame answers them. */
    const sendFrame = (count: number): void => {
      arrival = Math.max(arrival, now + way());
      at(arrival, () => {
        const answers = Array.from({ length: count }, () => commands.admit(now));
        for (const delayMs of answers) {
          if (delayMs === 0) continue;
          outcome.refused++;
          if (refusals.admit(now) > 0) outcome.closed++;
        }
        answer = Math.max(answer, now + way());
        at(answer, () => {
          for (const delayMs of answers) take(delayMs);
          if (pacer.wantsMore || unanswered === 0) flush();
        });
      });
    };
    const take = (delayMs: number): void => {
      unanswered--;
      isTried = delayMs === 0;
      if (isTried) {
        pacer.answered();
        outcome.accepted++;
      } else {
        pacer.refused(delayMs);
        waiting++;
      }
    };
    const flush = (): void => {
      let count = 0;
      for (; waiting > 0; count++) {
        if (isOrdered && !isTried && unanswered > 0) break;
        const { delayMs } = pacer;
        if (delayMs > 0) {
          const mine = ++timer;
          if (Number.isFinite(delayMs))
            at(now + Math.max(1, Math.ceil(delayMs)) - random() / 2, () => mine === timer && flush());
          break;
        }
        waiting--;
        unanswered++;
        outcome.mostUnanswered = Math.max(outcome.mostUnanswered, unanswered);
        pacer.sent();
      }
      if (count > 0) sendFrame(count);
    };
    const batches = everyMs === 0 ? 1 : each;
    for (let batch = 0; batch < batches; batch++) {
      at(batch * everyMs, () => {
        waiting += each / batches;
        flush();
      });
    }
  }
  for (let next = events.pop(); next !== undefined && outcome.accepted < clients * each; next = events.pop()) {
    now = next[0];
    next[1]();
  }
  vi.unstubAllGlobals();
  const idealMs = Math.max(0, ((clients * each - burst) / rate) * 1_000, (each - 1) * everyMs);
  return { ...outcome, idealMs, ms: Math.round(now) };
}

const defaults = { rate: 50, burst: 100 };

describe('a pacer', () => {
  // The ideal clients would know each other and the rate.
  describe.each([
    { ...defaults, roundTripMs: 2 },
    { ...defaults, roundTripMs: 300 },
    { rate: 50, burst: 612, roundTripMs: 2 },
    { rate: 5, burst: 10, roundTripMs: 40 },
    { rate: 1_000, burst: 2_000, roundTripMs: 20 },
  ])('at $rate/s, $burst at once, $roundTripMs ms', (node) => {
    it.each([1, 2, 3, 5, 10, 20])('shares the rate without closing a client (clients of the user: %i)', (clients) => {
      const each = Math.ceil((node.burst + node.rate * 10) / clients);
      for (const isOrdered of [true, false]) {
        const { ms, idealMs, refused, closed } = play({ ...node, clients, each, isOrdered });
        expect(closed).toBe(0);
        expect(ms).toBeLessThan(idealMs * 1.5);
        // The commands in flight at the first refusal; then one refusal for each client in two seconds, each with the
        // commands in flight.
        expect(refused).toBeLessThan(node.burst + clients * 16 + (clients * ms) / 1_000);
      }
    });
  });

  it('sends a burst as fast as the rate permits, with few refusals', () => {
    const { ms, idealMs, refused } = play({ ...defaults, clients: 1, each: 600, roundTripMs: 10 });
    expect(ms).toBeLessThan(idealMs * 1.1);
    expect(refused).toBeLessThan(100);
  });

  it.each([2, 20, 300])('keeps 20 clients connected for half an hour, at a round trip of %i ms', (roundTripMs) => {
    const { closed, refused, ms, idealMs } = play({ ...defaults, clients: 20, each: 4_500, roundTripMs });
    expect(closed).toBe(0);
    // The node forgives 20 a second at these rates.
    expect(refused).toBeLessThan((15 * ms) / 1_000);
    expect(ms).toBeLessThan(idealMs * 1.1);
  });

  it.each([15, 19, 21])(
    'is seldom refused if the rate permits a command every 20 ms and one is sent every %i ms',
    (everyMs) => {
      const setup = { ...defaults, clients: 1, each: 3_000, everyMs, roundTripMs: 10 };
      const { refused, closed, ms, idealMs } = play(setup);
      expect(refused).toBeLessThan(150);
      expect(closed).toBe(0);
      expect(ms).toBeLessThan(idealMs * 1.05);
    },
  );

  it('has few unanswered commands at first, more as replies arrive, and never more than its limit', () => {
    const free = { clients: 1, rate: 1_000_000, burst: 1_000_000, roundTripMs: 50 };
    expect(play({ ...free, each: 16 }).mostUnanswered).toBe(16);
    expect(play({ ...free, each: 20_000 }).mostUnanswered).toBe(600);
  });
});
