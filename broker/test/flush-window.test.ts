/** Publications leave at once while the node has time, and in batches while it is busy. */
import { describe, expect, it, vi } from 'vitest';
import { FlushWindow } from '../src/relay/flush-window.js';
import { PublishBatcher } from '../src/relay/publish-batcher.js';
import { defaultPolicy } from '../src/topics/policy.js';
import { startCluster } from './harness.js';
import { json, topic } from './relay.contract.js';
import { until } from './wait.js';

describe('the flush window', () => {
  it('grows step by step while the node is busy, up to its limit, and shrinks when the node is nearly idle', () => {
    const window = new FlushWindow(3);
    const widths = (utilizations: readonly number[]): number[] =>
      utilizations.map((utilization) => {
        window.adapt(utilization);
        return window.ms;
      });
    expect(widths([0.1, 0.5, 0.7, 0.9, 1, 1])).toEqual([0, 0, 1, 2, 3, 3]);
    // The window is effective, which is no reason to close it.
    expect(widths([0.3, 0.3, 0.1, 0.1, 0.1, 0.1])).toEqual([3, 3, 2, 1, 0, 0]);
    window.close();
  });

  it('closes after a moment in which the node was busy, although the node is not idle', () => {
    const window = new FlushWindow(2);
    for (let look = 0; look < 3; look++) window.adapt(1);
    expect(window.ms).toBe(2);
    for (let look = 0; look < 20; look++) window.adapt(0.4);
    expect(window.ms).toBe(0);
    window.close();
  });

  it('stays open if the node is busy without it, and tries less and less often', () => {
    const window = new FlushWindow(1);
    /** How often the node was busy during that many measurements. */
    const run = (count: number): number => {
      let busyLooks = 0;
      for (let look = 0; look < count; look++) {
        const isBusy = window.ms === 0;
        if (isBusy) busyLooks++;
        window.adapt(isBusy ? 0.9 : 0.4);
      }
      return busyLooks;
    };
    expect(run(100)).toBeGreaterThan(2);
    run(2_000);
    expect(run(640)).toBe(1);
    // The load falls: the window closes, and the next busy time starts from the beginning.
    for (let look = 0; look < 640; look++) window.adapt(0.4);
    expect(window.ms).toBe(0);
    for (let look = 0; look < 640; look++) window.adapt(0.4);
    window.adapt(0.9);
    for (let look = 0; look < 10; look++) window.adapt(0.4);
    expect(window.ms).toBe(0);
    window.close();
  });

  it('stays closed if the setting is 0', () => {
    const window = new FlushWindow(0);
    window.adapt(1);
    expect(window.ms).toBe(0);
  });

  it('sends the publications of several turns together once it is open', async () => {
    const flushed: number[] = [];
    const window = new FlushWindow(5);
    const batcher = new PublishBatcher(window, { bytes: 0 }, (batches) =>
      flushed.push(batches.reduce((sum, { run }) => sum + run.count, 0)),
    );
    batcher.add(topic('t'), defaultPolicy, json(0), null, null);
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    expect(flushed).toEqual([1]);
    for (let look = 0; look < 5; look++) window.adapt(1);
    // On a busy machine, a turn may take longer than the window.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    for (let turn = 1; turn <= 3; turn++) {
      batcher.add(topic('t'), defaultPolicy, json(turn), null, null);
      await new Promise(setImmediate);
    }
    expect(flushed).toEqual([1]);
    vi.advanceTimersByTime(5);
    expect(flushed).toEqual([1, 3]);
    batcher.add(topic('t'), defaultPolicy, json(4), null, null);
    batcher.flush();
    expect(flushed).toEqual([1, 3, 1]);
    vi.useRealTimers();
    window.close();
  });

  it('waits after a flush for a millisecond for each further Redis that it went to, up to its limit', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const flushes = async (window: FlushWindow, relays: number): Promise<number> => {
      let count = 0;
      for (let relay = 0; relay < relays; relay++) window.plan(() => count++);
      await new Promise(setImmediate);
      return count;
    };
    const one = new FlushWindow(30_000);
    expect(await flushes(one, 1)).toBe(1);
    expect(await flushes(one, 1)).toBe(1);
    // Numbers that a slow machine does not reach in real time.
    for (const [limitMs, waitMs] of [
      [30_000, 20_000],
      [10_000, 10_000],
    ] as const) {
      const window = new FlushWindow(limitMs);
      expect(await flushes(window, 20_001)).toBe(20_001);
      let isFlushed = false;
      window.plan(() => {
        isFlushed = true;
      });
      await new Promise(setImmediate);
      vi.advanceTimersByTime(waitMs / 2);
      expect(isFlushed).toBe(false);
      vi.advanceTimersByTime(waitMs / 2);
      expect(isFlushed).toBe(true);
      window.close();
    }
    expect(await flushes(new FlushWindow(0), 3)).toBe(3);
    expect(await flushes(new FlushWindow(0), 3)).toBe(3);
    vi.useRealTimers();
    one.close();
  });

  it('opens while the node is busy, and has a metric in seconds', async () => {
    await using cluster = await startCluster({ env: { FANFARE_FLUSH_WINDOW_MS: '3' } });
    const seconds = await until('the window is open', async () => {
      // The node runs in this process: this keeps it busy until it has measured the load more than once.
      for (const turnAt = performance.now(); performance.now() - turnAt < 150; );
      return (await cluster.node().metric('fanfare_flush_window_seconds')) || null;
    });
    expect([0.001, 0.002, 0.003]).toContain(seconds);
  });
});
