/** Stops a node without losing anything: asks clients to move, and closes the remaining connections in waves. */
import { setTimeout as delay } from 'node:timers/promises';
import { closeReasons } from '@fanfare/protocol';
import type { OpenConnection } from '../connection/open-connection.js';
import type { Log } from '../observe/log.js';
import { memoryTimes } from '../relay/memory-times.js';

/**
 * How long the collector of traces may take for a complete answer, including retries, in milliseconds. A stopping node
 * waits no longer.
 */
export const collectorTimeoutMs = 3_000;

interface DrainSettings {
  readonly drainWindowMs: number;
  readonly drainWaves: number;
  readonly drainWaveIntervalMs: number;
  readonly drainTimeoutMs: number;
}

/**
 * The longest time to drain with these settings, in milliseconds, without the time that Redis takes. It includes the
 * wait until no other node needs the memory of this one (`retire` in relay.ts).
 */
export function longestDrainMs({
  drainWindowMs,
  drainWaves,
  drainWaveIntervalMs,
  drainTimeoutMs,
}: DrainSettings): number {
  if (drainWindowMs === 0) return drainTimeoutMs;
  return drainWindowMs + drainWaves * drainWaveIntervalMs + drainTimeoutMs + memoryTimes.leaseMs;
}

interface StopSettings extends DrainSettings {
  readonly redisUrl: string | null;
  readonly redisTimeoutMs: number;
  readonly durableTimeoutMs: number;
  readonly tracingUrl: string | null;
}

/**
 * The longest time to stop with these settings, in milliseconds: draining, one timeout of Redis, and the collector of
 * traces.
 */
export function longestStopMs(settings: StopSettings): number {
  const { redisUrl, redisTimeoutMs, durableTimeoutMs, tracingUrl } = settings;
  const redisMs = redisUrl === null ? 0 : redisTimeoutMs + durableTimeoutMs;
  return longestDrainMs(settings) + redisMs + (tracingUrl === null ? 0 : collectorTimeoutMs);
}

/** The parts of the node that draining needs. */
interface Draining {
  readonly connections: readonly OpenConnection[];
  /** HTTP requests that are not answered yet. */
  requests(): number;
  /** Sockets that HTTP clients keep open for their next request. Each answer asks them to close. */
  httpSockets(): number;
  /** Sends the received publications, and replies to them. */
  flush(): Promise<void>;
  readonly counters: { connectionsInvited: number };
  readonly log: Log;
}

/** Share of the window in which clients start to move. The rest is for those that start last. */
const inviteShare = 0.75;

/**
 * How long clients may take to answer our close frames, in milliseconds. Closing a socket with unread bytes resets the
 * connection, and a close frame on its way is lost (RFC 6455 section 7.1.1).
 */
const closeHandshakeMs = 100;

/**
 * Resolves when no connection is left or the time is over, with the number of closed connections. The node serves
 * clients until it closes them, and answers every request that it has read.
 */
export async function drain(
  settings: DrainSettings,
  { connections, requests, httpSockets, flush, counters, log }: Draining,
): Promise<number> {
  const { drainWindowMs, drainWaves, drainWaveIntervalMs, drainTimeoutMs } = settings;
  const areConnectionsClosed = (): boolean => connections.length === 0;
  let closed = 0;
  if (areConnectionsClosed() && httpSockets() === 0) {
    await flush();
    return closed;
  }
  if (drainWindowMs > 0) {
    for (const connection of connections) {
      counters.connectionsInvited++;
      connection.invite(Math.floor(Math.random() * drainWindowMs * inviteShare));
    }
    await waitUntil(() => areConnectionsClosed() && httpSockets() === 0, drainWindowMs);
  }
  // Without a window, no client was asked to move, so several waves would not help.
  const waves = drainWindowMs > 0 ? drainWaves : 1;
  const perWave = Math.ceil(connections.length / waves);
  while (connections.length > 0) {
    // First, so that publishers get their replies and subscribers their publications.
    await flush();
    const wave = connections.filter(({ isClosing }) => !isClosing).slice(0, perWave);
    if (wave.length === 0) break;
    closed += wave.length;
    log.info(
      { event: 'drainWave', closed: wave.length, left: connections.length - wave.length },
      `Closing ${wave.length} connections.`,
    );
    for (const connection of wave) connection.close(closeReasons.draining);
    await waitUntil(areConnectionsClosed, waves === 1 ? 0 : drainWaveIntervalMs);
  }
  await waitUntil(() => areConnectionsClosed() && requests() === 0, drainTimeoutMs);
  await flush();
  await delay(closeHandshakeMs);
  return closed;
}

/** Resolves when the condition is met, or after `timeoutMs`. Checks every 10 ms. */
export async function waitUntil(isMet: () => boolean, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!isMet() && performance.now() < deadline) await delay(10);
}
