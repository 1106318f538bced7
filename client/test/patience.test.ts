/** When a client tries to connect again while commands wait for a connection. Time is simulated. */
import { createClient } from '@fanfare/client';
import { afterEach, expect, it, vi } from 'vitest';
import { NodeWebSocket } from '../src/websocket-node.js';
import { failure, record } from './harness.js';
import { startTestNode } from './test-node.js';

/** Start times of the failed attempts. */
const attempts: number[] = [];
let isDown = false;

class DownWebSocket extends NodeWebSocket {
  constructor(url: string, protocols: string) {
    if (isDown) {
      attempts.push(performance.now());
      throw new Error('There is no node.');
    }
    super(url, protocols);
  }
}

/** The longest possible delays. */
const options = { webSocket: DownWebSocket, random: () => 0.999_999 } as const;

/** Longest time without an attempt in the next `ms`. */
function longestPauseMs(ms: number): number {
  const began = performance.now();
  attempts.length = 0;
  vi.advanceTimersByTime(ms);
  const times = [began, ...attempts, began + ms];
  return Math.max(...times.slice(1).map((time, index) => time - (times[index] as number)));
}

function simulateTime(): void {
  isDown = true;
  attempts.length = 0;
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
}

afterEach(() => {
  isDown = false;
  vi.useRealTimers();
});

it('a client retries less and less often if no command waits', async () => {
  simulateTime();
  await using client = createClient('ws://127.0.0.1:1/ws', options);
  record(client, 'error');
  client.connect().catch(() => {});
  vi.advanceTimersByTime(60_000);
  expect(longestPauseMs(60_000)).toBeGreaterThan(19_000);
});

it('a client retries in time for a publish that was in flight when the connection broke', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = createClient(node.url, options);
  await client.connect();
  node.on('publish', () => {});
  const published = failure(client.publish('a', 1));
  const connection = await node.connection();
  await connection.received('publish');
  simulateTime();
  const lost = new Promise((resolve) => client.on('state', resolve));
  connection.cut();
  await lost;
  expect(longestPauseMs(60_000)).toBeLessThanOrEqual(2_500);
  await client.close();
  expect(await published).toMatchObject({ code: 'closed' });
});

it('a client retries in time for publish() and history(), even if another command may wait much longer', async () => {
  simulateTime();
  await using client = createClient('ws://127.0.0.1:1/ws', options);
  record(client, 'error');
  const imported = (): Promise<unknown> => failure(client.publish('import', 1, { timeoutMs: 600_000 }));
  const waits = [imported()];
  vi.advanceTimersByTime(60_000);
  expect(longestPauseMs(60_000)).toBeGreaterThan(19_000);
  for (const act of [() => client.publish('a', 1), () => client.history('a')]) {
    waits.push(failure(act()), imported());
    expect(longestPauseMs(9_999)).toBeLessThanOrEqual(2_500);
    vi.advanceTimersByTime(60_000);
  }
  await client.close();
  const codes = (await Promise.all(waits)).map((error) => (error as { code: unknown }).code);
  expect(codes).toEqual(['closed', 'timeout', 'closed', 'timeout', 'closed']);
});

it('a client that publishes all the time does not try to connect all the time', async () => {
  simulateTime();
  await using client = createClient('ws://127.0.0.1:1/ws', options);
  record(client, 'error');
  for (let count = 0; count < 600; count++) {
    client.publish('a', count).catch(() => {});
    vi.advanceTimersByTime(100);
  }
  // One attempt every 2.5 s, and some more at the beginning.
  expect(attempts.length).toBeLessThan(30);
  await client.close();
});
