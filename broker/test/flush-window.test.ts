/** Publications leave at once while the node has time, and together when it has not. */
import { describe, expect, it, vi } from 'vitest';
import { FlushWindow } from '../src/relay/flush-window.js';
import { PublishBatcher } from '../src/relay/publish-batcher.js';
import { defaultPolicy } from '../src/topics/policy.js';
import { startCluster } from './harness.js';
import { json, topic } from './relay.contract.js';
import { until } from './wait.js';

describe('the flush window', () => {
  it('grows step by step while the node is busy, up to its limit, and shrinks when there is hardly anything to do', () => {
    const window = new FlushWindow(3);
    const widths = (utilizations: readonly number[]): number[] =>
      utilizations.map((utilization) => {
        window.adapt(utilization);
        return window.ms;
      });
    expect(widths([0.1, 0.5, 0.7, 0.9, 1, 1])).toEqual([0, 0, 1, 2, 3, 3]);
    // What it has made possible is no reason to give it up.
    expect(widths([0.3, 0.3, 0.1, 0.1, 0.1, 0.1])).toEqual([3, 3, 2, 1, 0, 0]);
    window.close();
  });

  it('stays shut where it is set to 0', () => {
    const window = new FlushWindow(0);
    window.adapt(1);
    expect(window.ms).toBe(0);
  });

  it('has the publications of several turns leave together once it is open', async () => {
    const flushed: number[] = [];
    const window = new FlushWindow(5);
    const batcher = new PublishBatcher(window, (batches) =>
      flushed.push(batches.reduce((sum, { run }) => sum + run.count, 0)),
    );
    batcher.add(topic('t'), defaultPolicy, json(0), null, null);
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    expect(flushed).toEqual([1]);
    for (let look = 0; look < 5; look++) window.adapt(1);
    // On a busy machine a turn may take longer than the window.
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

  it('opens while the node is busy, and has a metric in seconds', async () => {
    await using cluster = await startCluster({ env: { FANFARE_FLUSH_WINDOW_MS: '3' } });
    const seconds = await until('it is open', async () => {
      // The node runs in this process: this keeps it busy for more than one look at the load.
      for (const turnAt = performance.now(); performance.now() - turnAt < 150; );
      return (await cluster.node().metric('fanfare_flush_window_seconds')) || null;
    });
    expect([0.001, 0.002, 0.003]).toContain(seconds);
  });
});
