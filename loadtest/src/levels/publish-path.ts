/** A path of publications from a publisher to a subscriber, through two processes and the Redis between them. */
import { setTimeout as delay } from 'node:timers/promises';
import { type RedisProcess, redisCommand } from '@fanfare/local-cluster';
import type { Pace, Schedule } from './pace.js';

export interface Traffic {
  readonly topics: number;
  /** Publications written together, each to the next topic. */
  readonly burst: number;
  readonly publicationBytes: number;
}

/** CPU time that each process has used so far, in nanoseconds. */
export interface Cpu {
  readonly publisher: number;
  readonly subscriber: number;
  readonly redis: number;
}

export interface PublishPath extends AsyncDisposable {
  /** Publishes, and resolves once all has been written. */
  publish(schedule: Schedule): Promise<Pace>;
  /** Waits for all publications so far. Returns the problem in a few words; null if all arrived once and in order. */
  settle(): Promise<string | null>;
  readCpu(): Promise<Cpu>;
  /** CPU time that the publisher uses to keep its schedule, in nanoseconds; 0 if another process keeps it. */
  measureClock(schedule: Schedule): Promise<number>;
}

const settleTimeoutMs = 10_000;

/** Calls `isSettled` until it returns true, or until the deadline. */
export async function untilSettled(isSettled: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + settleTimeoutMs;
  while (!(await isSettled()) && performance.now() < deadline) await delay(2);
}

export function topicNames({ topics }: Traffic): string[] {
  return Array.from({ length: topics }, (_, index) => `bench.${index}`);
}

/** Of all threads of the server, in nanoseconds. */
export async function readRedisCpuNs({ port }: RedisProcess): Promise<number> {
  const info = String(await redisCommand(port, ['INFO', 'cpu']));
  const seconds = (kind: string): number => Number(new RegExp(`^used_cpu_${kind}:([\\d.]+)`, 'm').exec(info)?.[1]);
  return (seconds('user') + seconds('sys')) * 1e9;
}
