/** How a node stops without losing anything: clients are invited to move, and what is left is closed in waves. */
import { setTimeout as delay } from 'node:timers/promises';
import { closeReasons } from '@fanfare/protocol';
import type { Connection } from '../connection/connection.js';
import type { Log } from '../observe/log.js';
import { leaseMs } from '../relay/memory-times.js';
import { collectorTimeoutMs } from './collector-timeout.js';

export interface DrainSettings {
  readonly drainWindowMs: number;
  readonly drainWaves: number;
  readonly drainWaveIntervalMs: number;
  readonly drainTimeoutMs: number;
}

/**
 * The longest that a node takes to drain as its settings say, in milliseconds: to move its clients, to close those that stay, and until no
 * other node needs what it remembers (`retire` in relay.ts). What has to wait for Redis comes on top.
 */
export function longestDrainMs({
  drainWindowMs,
  drainWaves,
  drainWaveIntervalMs,
  drainTimeoutMs,
}: DrainSettings): number {
  if (drainWindowMs === 0) return drainTimeoutMs;
  return drainWindowMs + drainWaves * drainWaveIntervalMs + drainTimeoutMs + leaseMs;
}

export interface StopSettings extends DrainSettings {
  readonly redisUrl: string | null;
  readonly redisTimeoutMs: number;
  readonly durableTimeoutMs: number;
  readonly tracingUrl: string | null;
}

/**
 * The longest that a node takes to stop as its settings say, in milliseconds: a Redis that does not answer is waited for once, then its
 * connection is given up; and the collector of traces.
 */
export function longestStopMs(settings: StopSettings): number {
  const { redisUrl, redisTimeoutMs, durableTimeoutMs, tracingUrl } = settings;
  const redisMs = redisUrl === null ? 0 : redisTimeoutMs + durableTimeoutMs;
  return longestDrainMs(settings) + redisMs + (tracingUrl === null ? 0 : collectorTimeoutMs);
}

/** What is drained. */
export interface Draining {
  readonly connections: readonly Connection[];
  /** Sends what was taken in, and answers it. */
  flush(): Promise<void>;
  readonly counters: { connectionsInvited: number };
  readonly log: Log;
}

/** Part of the window in which clients begin to move: the rest is for those who begin last. */
const inviteShare = 0.75;

/**
 * How long peers get to answer our close frames, in milliseconds. Closing a socket with unread bytes in it resets the connection, and
 * a close frame on its way is lost with it (RFC 6455 section 7.1.1).
 */
const closeHandshakeMs = 100;

/**
 * Resolves when no connection is left, or those that are have had their time, with how many had to be closed. The node serves them until it
 * closes them.
 */
export async function drain(settings: DrainSettings, { connections, flush, counters, log }: Draining): Promise<number> {
  const { drainWindowMs, drainWaves, drainWaveIntervalMs, drainTimeoutMs } = settings;
  let closed = 0;
  if (connections.length === 0) {
    await flush();
    return closed;
  }
  if (drainWindowMs > 0) {
    for (const connection of connections) {
      counters.connectionsInvited++;
      connection.invite(Math.floor(Math.random() * drainWindowMs * inviteShare));
    }
    await isEmpty(connections, drainWindowMs);
  }
  // Without a window nobody was invited, and nobody is spared by waiting.
  const waves = drainWindowMs > 0 ? drainWaves : 1;
  const perWave = Math.ceil(connections.length / waves);
  while (connections.length > 0) {
    // First what was taken in: publishers hear what became of it, subscribers get it.
    await flush();
    const wave = connections.filter(({ isClosing }) => !isClosing).slice(0, perWave);
    if (wave.length === 0) break;
    closed += wave.length;
    log.info(
      { event: 'drainWave', closed: wave.length, left: connections.length - wave.length },
      `Closing ${wave.length} connections.`,
    );
    for (const connection of wave) connection.close(closeReasons.draining);
    await isEmpty(connections, waves === 1 ? 0 : drainWaveIntervalMs);
  }
  await isEmpty(connections, drainTimeoutMs);
  await flush();
  await delay(closeHandshakeMs);
  return closed;
}

/** Looks every 10 ms, for `timeoutMs` at most. */
async function isEmpty(connections: readonly unknown[], timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (connections.length > 0 && performance.now() < deadline) await delay(10);
}
