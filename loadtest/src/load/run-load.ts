/**
 * Applies a load to a deployment: opens the connections, warms up, measures, waits for publications in transit, and
 * counts.
 */

import { Disposables } from '@fanfare/kit/disposables';
import { mergeHistograms } from '@fanfare/kit/histogram';
import { readCpuNs } from '@fanfare/kit/process-usage';
import { nowUs } from '@fanfare/kit/stamp';
import { encodeIntoCompressedBase64 } from 'hdr-histogram-js';
import type { ProtocolName } from '../protocols/protocols.js';
import type { Deployment } from './deployment.js';
import type { GarbageMeter } from './garbage-meter.js';
import type { LatencySummary, LoadResult, Moment } from './result.js';
import type { RunReport, SettleReport } from './shard.js';
import { ShardProcess } from './shard-process.js';
import { sumTurns } from './turns.js';
import { readLoopLagP99Ms, readUsage, type Usage } from './usage.js';
import { findComplaints } from './validity.js';
import { streamsOf, topicOfStream, topicsOfSubscriber, type Workload } from './workload.js';

/** After this time without a delivery, missing deliveries count as lost. */
const settleTimeoutMs = 5_000;
/** Time from the command to the first publication, in which all shards must receive the command. */
const leadMs = 100;
const momentMs = 500;

interface LoadOptions {
  readonly scenario: string;
  readonly label: string;
  readonly server: string;
  readonly workload: Workload;
  readonly deployment: Deployment;
  readonly protocol: ProtocolName;
  readonly isTyped: boolean;
  readonly generators: number;
  /**
   * Called with the usage before and after the measured time, and with what each generator needs to keep the schedule
   * without sending.
   */
  readonly onUsage?: (start: Usage, end: Usage, clockNs: readonly number[]) => void;
  /** Measures the servers' garbage collections. The servers must have been started with the meter's environment. */
  readonly garbage?: GarbageMeter | null;
  /** Called twice a second, to show progress. */
  readonly onMoment?: (moment: Moment) => void;
  /** Called once if moments are missing, with the reason why the first of them is missing. */
  readonly onHole?: (error: Error) => void;
}

export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  await using parts = new Disposables();
  const { workload, deployment, generators, garbage } = options;
  const shards = Array.from({ length: generators }, () => parts.use(new ShardProcess()));
  const pids = shards.map(({ pid }) => pid);
  const before = await readUsage(deployment, pids);
  await Promise.all(shards.map((shard, index) => shard.ask('open', planOf(options, index))));
  const opened = await readUsage(deployment, pids);

  const published = new Float64Array(streamsOf(workload));
  const run = async (seconds: number, isMeasured: boolean): Promise<RunReport[]> => {
    const startUs = nowUs() + leadMs * 1_000;
    const reports = await Promise.all(shards.map((shard) => shard.ask('run', { startUs, seconds, isMeasured })));
    published.fill(0);
    for (const report of reports) {
      for (const [stream, count] of report.published.entries()) published[stream] = (published[stream] ?? 0) + count;
    }
    return reports;
  };
  const settle = (): Promise<SettleReport[]> =>
    Promise.all(shards.map((shard) => shard.ask('settle', { published, timeoutMs: settleTimeoutMs })));

  if (workload.warmUpSeconds > 0) await run(workload.warmUpSeconds, false);
  const warm = await settle();
  const clockNs = options.onUsage === undefined ? [] : await measureClock(shards, workload.seconds);
  // Each reading resets the value.
  await readLoopLagP99Ms(deployment);
  await garbage?.begin(deployment.processes);
  const start = await readUsage(deployment, pids);
  const warmedUp = published.slice();
  const watch = parts.use(new Watch(options, shards, start));
  const reports = await run(workload.seconds, true);
  const ran = await readUsage(deployment, pids);
  const settled = await settle();
  const end = await readUsage(deployment, pids);
  const collections = (await garbage?.end(deployment.processes)) ?? null;
  const serverLoopLagP99Ms = await readLoopLagP99Ms(deployment);
  const moments = await watch.stop();
  options.onUsage?.(start, end, clockNs);
  return reckon(options, {
    before,
    opened,
    start,
    end,
    warm,
    reports,
    settled,
    moments,
    garbage: collections,
    published: published.map((count, stream) => count - (warmedUp[stream] ?? 0)),
    ran,
    serverLoopLagP99Ms,
  });
}

async function measureClock(shards: readonly ShardProcess[], seconds: number): Promise<readonly number[]> {
  const read = (): Promise<number[]> => Promise.all(shards.map(({ pid }) => readCpuNs(pid)));
  const before = await read();
  const run = { startUs: nowUs() + leadMs * 1_000, seconds, isMeasured: false, isSilent: true };
  await Promise.all(shards.map((shard) => shard.ask('run', run)));
  return (await read()).map((cpuNs, index) => cpuNs - (before[index] ?? 0));
}

function planOf({ workload, deployment, protocol, isTyped, generators }: LoadOptions, shard: number) {
  // Each generator process has an address of its own, with 28,000 ports.
  const isLocal = deployment.targets.every(({ host }) => host.startsWith('127.'));
  const localAddress = isLocal && generators > 1 ? `127.0.${1 + Math.floor(shard / 250)}.${2 + (shard % 250)}` : null;
  const { targets } = deployment;
  return { workload, targets, protocol, isTyped, shard, shards: generators, localAddress };
}

/** Records a {@link Moment} twice a second. */
class Watch implements AsyncDisposable {
  readonly #moments: Moment[] = [];
  readonly #timer: NodeJS.Timeout;
  #last: { readonly usage: Usage; readonly published: number; readonly deliveries: number };
  #looking: Promise<void> = Promise.resolve();
  #hasHole = false;

  constructor({ deployment, onMoment, onHole }: LoadOptions, shards: readonly ShardProcess[], start: Usage) {
    const read = (key: 'published' | 'deliveries' | 'connected'): number =>
      sum(shards.map(({ progress }) => progress[key]));
    this.#last = { usage: start, published: read('published'), deliveries: read('deliveries') };
    const look = async (): Promise<void> => {
      const usage = await readUsage(
        deployment,
        shards.map(({ pid }) => pid),
      );
      const seconds = (usage.atMs - this.#last.usage.atMs) / 1_000;
      const [published, deliveries] = [read('published'), read('deliveries')];
      const { usage: lastUsage } = this.#last;
      const isSeen = (role: 'server' | 'redis'): boolean => deployment.processes.some((each) => each.role === role);
      const moment = {
        atSeconds: (usage.atMs - start.atMs) / 1_000,
        publishedPerSecond: (published - this.#last.published) / seconds,
        deliveriesPerSecond: (deliveries - this.#last.deliveries) / seconds,
        connected: read('connected'),
        serverCpu: isSeen('server') ? (usage.serverCpuNs - lastUsage.serverCpuNs) / seconds / 1e9 : null,
        redisCpu: isSeen('redis') ? (usage.redisCpuNs - lastUsage.redisCpuNs) / seconds / 1e9 : null,
        generatorCpu: busiest(lastUsage, usage),
        serverRssBytes: isSeen('server') ? usage.serverRssBytes : null,
        kernelTcpBytes: usage.kernelTcpBytes,
      };
      this.#last = { usage, published, deliveries };
      this.#moments.push(moment);
      onMoment?.(moment);
    };
    this.#timer = setInterval(() => {
      this.#looking = this.#looking.then(look).catch((error: Error) => {
        if (!this.#hasHole) onHole?.(error);
        this.#hasHole = true;
      });
    }, momentMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
  }

  async stop(): Promise<readonly Moment[]> {
    clearInterval(this.#timer);
    await this.#looking;
    return this.#moments;
  }
}

interface Reckoning {
  readonly before: Usage;
  readonly opened: Usage;
  readonly start: Usage;
  /** When the last publication was sent. */
  readonly ran: Usage;
  readonly end: Usage;
  readonly warm: readonly SettleReport[];
  readonly reports: readonly RunReport[];
  readonly settled: readonly SettleReport[];
  readonly moments: readonly Moment[];
  readonly garbage: LoadResult['garbage'];
  /** Publications of each stream in the measured time. */
  readonly published: Float64Array;
  readonly serverLoopLagP99Ms: number | null;
}

function reckon(options: LoadOptions, reckoning: Reckoning): LoadResult {
  const { before, opened, start, ran, end, warm, reports, settled, moments, published } = reckoning;
  const { workload, deployment } = options;
  const count = (key: keyof SettleReport['counts']): number => sum(settled.map(({ counts }) => counts[key]));
  const deliveriesOfShards = settled.map(
    ({ counts }, index) => counts.deliveries - (warm[index]?.counts.deliveries ?? 0),
  );
  const deliveries = sum(deliveriesOfShards);
  const lostInWarmUp = sum(warm.map(({ counts }) => counts.lost));
  const isLocal = deployment.processes.length > 0;
  const serverCpuUs = isLocal ? (end.serverCpuNs - start.serverCpuNs) / 1_000 : null;
  const hasRedis = deployment.readRedisStats !== null;
  const failures: Record<string, number> = {};
  for (const report of settled) {
    for (const [failure, times] of Object.entries(report.failures))
      failures[failure] = (failures[failure] ?? 0) + times;
  }
  const measured = {
    published: sum(published),
    deliveries,
    lost: count('lost') - lostInWarmUp,
    lostInWarmUp,
    repeated: count('repeated'),
    foreign: count('foreign'),
    reported:
      sum(settled.map(({ reportedLosses }) => reportedLosses)) - sum(warm.map(({ reportedLosses }) => reportedLosses)),
    failures,
    generatorCpu: busiest(start, ran),
    slipP99Us: Math.max(0, ...reports.map(({ slipP99Us }) => slipP99Us)),
    lateShare: Math.max(0, ...reports.map(({ lateShare }) => lateShare)),
  };
  const complaints = findComplaints({
    ...measured,
    subscribers: workload.subscribers,
    away: sum(settled.map(({ away }) => away)),
    turns: sumTurns(reports.map(({ turns }) => turns)),
    planned: workload.perSecond * workload.seconds,
    deliveriesOfShards: deliveriesOfShards.filter((_, shard) => isListening(shard, options, published)),
    breaksConnections: workload.disturbances.some(({ name }) => ['storm', 'stall', 'absence'].includes(name)),
  });
  return {
    scenario: options.scenario,
    label: options.label,
    server: options.server,
    workload,
    ...measured,
    unproven: count('unproven'),
    connected: sum(settled.map(({ connected }) => connected)),
    elapsedSeconds: (ran.atMs - start.atMs) / 1_000,
    latency: summarize(settled.map(({ latency }) => latency)),
    answers: summarize(settled.map(({ answers }) => answers)),
    handshake: summarize(settled.map(({ handshake }) => handshake)),
    back: summarize(settled.map(({ back }) => back)),
    serverCpuUs,
    redisCpuUs: isLocal && hasRedis ? (end.redisCpuNs - start.redisCpuNs) / 1_000 : null,
    serverCpuUsPerDelivery: serverCpuUs === null || deliveries === 0 ? null : serverCpuUs / deliveries,
    serverBytesPerConnection: isLocal
      ? (opened.serverAnonymousBytes - before.serverAnonymousBytes) / Math.max(1, workload.subscribers)
      : null,
    serverRssBytes: isLocal ? end.serverRssBytes : null,
    kernelTcpBytes: end.kernelTcpBytes,
    redisCommands: hasRedis ? end.redisCommands - start.redisCommands : null,
    redisInputBytes: hasRedis ? end.redisInputBytes - start.redisInputBytes : null,
    redisOutputBytes: hasRedis ? end.redisOutputBytes - start.redisOutputBytes : null,
    generatorLoopLagP99Ms: Math.max(0, ...reports.map(({ loopLagP99Ms }) => loopLagP99Ms)),
    serverLoopLagP99Ms: reckoning.serverLoopLagP99Ms,
    garbage: reckoning.garbage,
    moments,
    complaints,
  };
}

/** Whether a shard has subscribers of topics that were published to: at a low rate, it may have none. */
function isListening(shard: number, { workload, generators }: LoadOptions, published: Float64Array): boolean {
  const topics = new Set<number>();
  for (const [stream, count] of published.entries()) if (count > 0) topics.add(topicOfStream(stream, workload));
  for (let subscriber = shard; topics.size > 0 && subscriber < workload.subscribers; subscriber += generators) {
    if (topicsOfSubscriber(subscriber, workload).some((topic) => topics.has(topic))) return true;
  }
  return false;
}

function busiest(from: Usage, to: Usage): number {
  const ns = (to.atMs - from.atMs) * 1e6;
  return Math.max(0, ...to.generatorCpuNs.map((cpu, index) => (cpu - (from.generatorCpuNs[index] ?? 0)) / ns));
}

function summarize(histograms: readonly string[]): LatencySummary {
  const all = mergeHistograms(histograms);
  const at = (percentile: number): number => all.getValueAtPercentile(percentile);
  return {
    count: all.totalCount,
    p50: at(50),
    p90: at(90),
    p99: at(99),
    p999: at(99.9),
    max: all.maxValue,
    histogram: encodeIntoCompressedBase64(all),
  };
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
