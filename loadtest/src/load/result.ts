/** What came of a load. `result.json` holds these, by a schema that is versioned: a change that breaks readers raises it. */
import type { Workload } from './workload.js';

export const resultVersion = 1;

/** Times in µs. */
export interface LatencySummary {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** The whole histogram, as HdrHistogram encodes it (compressed, base64). */
  readonly histogram: string;
}

/** One second of the measured time, or a part of it. */
export interface Moment {
  /** Since the measured time began, in seconds. */
  readonly atSeconds: number;
  readonly publishedPerSecond: number;
  readonly deliveriesPerSecond: number;
  readonly connected: number;
  /** Share of a CPU, of all servers. */
  readonly serverCpu: number;
  readonly redisCpu: number;
  /** Of the generator process that used the most. */
  readonly generatorCpu: number;
  readonly serverRssBytes: number;
  readonly kernelTcpBytes: number;
}

export interface LoadResult {
  readonly label: string;
  readonly server: string;
  readonly workload: Workload;
  readonly published: number;
  readonly deliveries: number;
  readonly lost: number;
  readonly repeated: number;
  readonly foreign: number;
  /** Streams of subscribers that came or came back in the middle, of which nothing has come since. */
  readonly unproven: number;
  /** Gaps and resets that the typed client was told. */
  readonly told: number;
  /** What went wrong with connections, and how often. */
  readonly failures: Readonly<Record<string, number>>;
  readonly connected: number;
  readonly elapsedSeconds: number;
  readonly latency: LatencySummary;
  /** From the first packet until all subscriptions stood. */
  readonly handshake: LatencySummary;
  /** From a storm or an absence until a connection was back. */
  readonly back: LatencySummary;
  /** CPU time, in µs; null where the servers run elsewhere. */
  readonly serverCpuUs: number | null;
  readonly redisCpuUs: number | null;
  readonly serverCpuUsPerDelivery: number | null;
  /** Growth of the servers' anonymous memory from before the connections to after them, by subscribing connection. */
  readonly serverBytesPerConnection: number | null;
  readonly serverRssBytes: number | null;
  readonly kernelTcpBytes: number;
  readonly redisCommands: number | null;
  readonly redisInputBytes: number | null;
  readonly redisOutputBytes: number | null;
  readonly slipP99Us: number;
  readonly lateShare: number;
  readonly generatorCpu: number;
  readonly generatorLoopLagP99Ms: number;
  readonly moments: readonly Moment[];
  /** Why the figures say nothing; empty: they are valid. */
  readonly complaints: readonly string[];
}

export interface ResultFile {
  readonly version: typeof resultVersion;
  readonly startedAt: string;
  readonly machine: string;
  readonly command: string;
  readonly results: readonly LoadResult[];
}
