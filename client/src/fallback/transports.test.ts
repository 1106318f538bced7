/** The memory of the transport that has worked, and the check of the option. */
import { afterEach, expect, it, vi } from 'vitest';
import { allTransports, rememberMs, transportsOf, Winner } from './transports.js';

afterEach(() => vi.useRealTimers());

it('remembers the winner for ten minutes', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  expect(rememberMs).toBe(600_000);
  const winner = new Winner();
  expect(winner.transport).toBeNull();
  winner.remember('longPolling');
  vi.advanceTimersByTime(rememberMs - 1);
  expect(winner.transport).toBe('longPolling');
  vi.advanceTimersByTime(1);
  expect(winner.transport).toBeNull();
});

it('accepts lists of different transports', () => {
  expect(transportsOf(undefined)).toEqual(allTransports);
  expect(transportsOf(['longPolling', 'webSocket'])).toEqual(['longPolling', 'webSocket']);
  for (const wrong of [[], ['websocket'], ['webSocket', 'webSocket'], 'webSocket', null, [null]]) {
    expect(() => transportsOf(wrong)).toThrow(/^transports must be a list of one or more of webSocket, /);
  }
});
