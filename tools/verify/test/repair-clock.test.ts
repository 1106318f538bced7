/** The time at which the cluster has recovered, calculated from periodic samples. */
import { expect, it } from 'vitest';
import { graceMs, RepairClock, type StreamState } from '../src/checker/repair-clock.js';

/** The age of the latest sample that is old enough for a comparison. Samples are 20 ms apart. */
const comparedAgeMs = Math.ceil(graceMs / 20) * 20;

/** One stream with ten publications each 100 ms. */
function stream(nowMs: number, answered: (published: number) => number): StreamState {
  const published = nowMs / 10;
  return { id: 0, published, lastAcknowledged: answered(published), settledUpTo: answered(published) };
}

function watch(endMs: number, answered: (nowMs: number) => number, reached: (nowMs: number) => number): RepairClock {
  const clock = new RepairClock();
  for (let nowMs = 0; nowMs <= 5_000; nowMs += 20) {
    if (nowMs === endMs) clock.start(nowMs);
    clock.look(nowMs, [stream(nowMs, () => answered(nowMs))], () => reached(nowMs));
  }
  return clock;
}

it('recovery takes no time if nothing was disturbed', () => {
  expect(
    watch(
      1_000,
      (now) => now / 10,
      (now) => now / 10 - 5,
    ).times,
  ).toEqual({ caughtUpMs: 0, servedMs: 0 });
});

it('recovery ends when the slowest subscriber has everything that was acknowledged', () => {
  // The subscriber receives nothing until 3 s, and then has everything.
  const { times } = watch(
    1_000,
    (now) => now / 10,
    (now) => (now < 3_000 ? 90 : now / 10),
  );
  expect(times).toEqual({ caughtUpMs: 2_000 - comparedAgeMs, servedMs: 2_000 - comparedAgeMs });
});

it('recovery ends later for publishers whose replies are late', () => {
  const answered = (now: number): number => (now < 3_000 ? 90 : now / 10);
  const { times } = watch(1_000, answered, answered);
  expect(times).toEqual({ caughtUpMs: 0, servedMs: 2_000 - comparedAgeMs });
});

it('recovery never ends if a subscriber stays behind', () => {
  expect(
    watch(
      1_000,
      (now) => now / 10,
      () => 90,
    ).times,
  ).toEqual({ caughtUpMs: null, servedMs: null });
});

it('recovery does not end at a good moment between two bad ones', () => {
  const reached = (now: number): number => ((now > 1_400 && now < 2_000) || now >= 3_000 ? now / 10 : 90);
  const { times } = watch(1_000, (now) => now / 10, reached);
  expect(times.caughtUpMs).toBe(2_000 - comparedAgeMs);
});
