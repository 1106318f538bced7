/** Sends the bursts of an open loop on a schedule, even if earlier ones have not arrived. */
import { createHistogram } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { nowUs } from '@fanfare/kit/stamp';

export interface Schedule {
  readonly bursts: number;
  readonly burstsPerSecond: number;
}

export interface Pace {
  /** How late the latest 1 % of bursts were sent. */
  readonly slipP99Us: number;
  /** Share of bursts that were sent when the next one was already due: a reader may find both at once. */
  readonly lateShare: number;
}

/** The longest sleep, which delays events that arrive meanwhile. */
const maxSleepMs = 0.5;

const sleeper = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

/** Calls `send` for each burst at its time, or as soon as possible after it. */
export async function pace({ bursts, burstsPerSecond }: Schedule, send: () => void): Promise<Pace> {
  const intervalUs = 1_000_000 / burstsPerSecond;
  const slips = createHistogram({ lowest: 1, highest: 3_600_000_000, figures: 3 });
  const startedUs = nowUs();
  let late = 0;
  for (let number = 0; number < bursts; number++) {
    const dueUs = startedUs + number * intervalUs;
    // Also when we are late, so that received data is read.
    await nextTurn();
    for (let leftUs = dueUs - nowUs(); leftUs > 0; leftUs = dueUs - nowUs()) {
      // A timer is a millisecond late, and spinning would take CPU time from the measured processes.
      Atomics.wait(sleeper, 0, 0, Math.min(leftUs / 1_000, maxSleepMs));
      await nextTurn();
    }
    send();
    const slipUs = nowUs() - dueUs;
    slips.record(Math.max(1, Math.round(slipUs)));
    if (slipUs >= intervalUs) late++;
  }
  return { slipP99Us: slips.percentile(99), lateShare: late / bursts };
}
