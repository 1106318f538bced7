/** What the processes of a load use, read from /proc and from Redis. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { readCpuNs, readMemory } from '@fanfare/kit/process-usage';
import type { Deployment } from './deployment.js';

export interface Usage {
  readonly atMs: number;
  /** CPU time so far, in nanoseconds, by role. */
  readonly serverCpuNs: number;
  /** The same of each process of the deployment. */
  readonly cpuNsOfEach: readonly number[];
  readonly redisCpuNs: number;
  readonly generatorCpuNs: readonly number[];
  readonly serverRssBytes: number;
  readonly serverAnonymousBytes: number;
  /** TCP buffers of all sockets of this machine. */
  readonly kernelTcpBytes: number;
  readonly redisCommands: number;
  readonly redisInputBytes: number;
  readonly redisOutputBytes: number;
}

export async function readUsage(deployment: Deployment, generatorPids: readonly number[]): Promise<Usage> {
  const { processes, readRedisStats } = deployment;
  const gone = processes.find(({ pid }) => !existsSync(`/proc/${pid}`));
  if (gone !== undefined) throw new Error(`A process under load has ended: ${gone.name}.`);
  const ofServers = async (read: (pid: number) => Promise<number>): Promise<number> => {
    const values = await Promise.all(processes.filter(({ role }) => role === 'server').map(({ pid }) => read(pid)));
    return values.reduce((sum, value) => sum + value, 0);
  };
  const rss = async (pid: number): Promise<number> => (await readMemory(pid)).rssBytes;
  const anonymous = async (pid: number): Promise<number> => (await readMemory(pid)).anonymousBytes;
  const [cpuNsOfEach, serverRssBytes, serverAnonymousBytes, generatorCpuNs, kernelTcpBytes] = await Promise.all([
    Promise.all(processes.map(({ pid }) => readCpuNs(pid))),
    ofServers(rss),
    ofServers(anonymous),
    Promise.all(generatorPids.map(readCpuNs)),
    readKernelTcpBytes(),
  ]);
  const cpuOf = (role: 'server' | 'redis'): number =>
    cpuNsOfEach.reduce((sum, cpuNs, index) => (processes[index]?.role === role ? sum + cpuNs : sum), 0);
  const redis = parseInfo((await readRedisStats?.()) ?? '');
  return {
    atMs: performance.now(),
    serverCpuNs: cpuOf('server'),
    redisCpuNs: cpuOf('redis'),
    cpuNsOfEach,
    generatorCpuNs,
    serverRssBytes,
    serverAnonymousBytes,
    kernelTcpBytes,
    redisCommands: redis.get('total_commands_processed') ?? 0,
    redisInputBytes: redis.get('total_net_input_bytes') ?? 0,
    redisOutputBytes: redis.get('total_net_output_bytes') ?? 0,
  };
}

const pageBytes = 4_096;

async function readKernelTcpBytes(): Promise<number> {
  const text = await readFile('/proc/net/sockstat', 'latin1');
  return Number(/^TCP:.* mem (\d+)/m.exec(text)?.[1] ?? 0) * pageBytes;
}

function parseInfo(info: string): ReadonlyMap<string, number> {
  return new Map([...info.matchAll(/^(\w+):([\d.]+)\r?$/gm)].map(([, name = '', value]) => [name, Number(value)]));
}

/** Of the node that lagged most since the last reading; null if no node reports it. */
export async function readLoopLagP99Ms({ metricsUrls }: Deployment): Promise<number | null> {
  const lags = await Promise.all(
    metricsUrls.map(async (url) => {
      const text = await (await fetch(url)).text();
      return Number(/^nodejs_eventloop_lag_p99_seconds(?:\{[^}]*\})? (\S+)$/m.exec(text)?.[1]) * 1_000;
    }),
  );
  const known = lags.filter((lag) => Number.isFinite(lag));
  return known.length === 0 ? null : Math.max(...known);
}
