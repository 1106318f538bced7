/** Made-up results, for tests of code that only reads results. */
import { build, encodeIntoCompressedBase64 } from 'hdr-histogram-js';
import type { LatencySummary, LoadResult, Moment } from '../src/load/result.js';
import { defaultWorkload, type Workload } from '../src/load/workload.js';

/** A histogram of these latencies, in µs. */
export function latency(...values: readonly number[]): LatencySummary {
  const histogram = build({ lowestDiscernibleValue: 1, highestTrackableValue: 60_000_000 });
  for (const value of values) histogram.recordValue(value);
  const at = (percentile: number): number => histogram.getValueAtPercentile(percentile);
  return {
    count: values.length,
    p50: at(50),
    p90: at(90),
    p99: at(99),
    p999: at(99.9),
    max: histogram.maxValue,
    histogram: encodeIntoCompressedBase64(histogram),
  };
}

export function moment(atSeconds: number, connected: number): Moment {
  const rest = { redisCpu: null, generatorCpu: 0.2, serverRssBytes: 80e6, kernelTcpBytes: 0 };
  return { atSeconds, publishedPerSecond: 40, deliveriesPerSecond: 40 * connected, connected, serverCpu: 0.1, ...rest };
}

export function result(
  other: Partial<Omit<LoadResult, 'workload'>> & { readonly workload?: Partial<Workload> },
): LoadResult {
  return {
    scenario: 'fan-out',
    label: '100 subscribers',
    server: 'fanfare',
    published: 40,
    deliveries: 4_000,
    lost: 0,
    lostInWarmUp: 0,
    repeated: 0,
    foreign: 0,
    unproven: 0,
    reported: 0,
    failures: {},
    connected: 100,
    elapsedSeconds: 1.1,
    latency: latency(1_000, 2_000, 3_000),
    answers: latency(),
    handshake: latency(10_000),
    back: latency(),
    serverCpuUs: 8_000,
    redisCpuUs: null,
    serverCpuUsPerDelivery: 2,
    serverBytesPerConnection: 1_500,
    serverRssBytes: 80 * 2 ** 20,
    kernelTcpBytes: 0,
    redisCommands: null,
    redisInputBytes: null,
    redisOutputBytes: null,
    slipP99Us: 200,
    lateShare: 0,
    generatorCpu: 0.2,
    generatorLoopLagP99Ms: 1,
    serverLoopLagP99Ms: null,
    garbage: null,
    moments: [],
    complaints: [],
    ...other,
    workload: { ...defaultWorkload, subscribers: 100, perSecond: 40, seconds: 1, ...other.workload },
  };
}
