import { expect, it } from 'vitest';
import { reconnectDelayMs } from './reconnect.js';

const policy = { reconnectBaseDelayMs: 500, reconnectMaxDelayMs: 20_000 };

it('the delay is random between 0 and a limit that doubles with each failure, up to the maximum', () => {
  const highest = [0, 1, 2, 5, 6, 100, 5_000].map((failures) =>
    reconnectDelayMs(failures, { ...policy, random: () => 1 }),
  );
  expect(highest).toEqual([500, 1_000, 2_000, 16_000, 20_000, 20_000, 20_000]);
  expect(reconnectDelayMs(5, { ...policy, random: () => 0 })).toBe(0);
  expect(reconnectDelayMs(5, { ...policy, random: () => 0.25 })).toBe(4_000);
});

it('the delay leaves time for several attempts before waiting commands expire, but its limit is never below the base delay', () => {
  const highest = [100_000, 40_000, 6_000, 800, 0].map((patienceMs) =>
    reconnectDelayMs(100, { ...policy, random: () => 1 }, patienceMs),
  );
  expect(highest).toEqual([20_000, 10_000, 1_500, 500, 500]);
  expect(reconnectDelayMs(0, { ...policy, random: () => 1 }, 6_000)).toBe(500);
});
