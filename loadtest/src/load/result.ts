/**
 * The results of a load test, as in `result.json`. The schema is the only declaration: it defines the types, checks the
 * files that are read, and contains the descriptions in docs/reference/loadtest.md.
 */
import { z } from 'zod';
import type { Workload } from './workload.js';

/**
 * One number is enough, because a new field needs no new version. Readers ignore unknown fields, and this schema has
 * defaults for fields that older files lack. Raise the version if you remove a field or change its meaning, and convert
 * older files in result-file.ts.
 *
 * 2: moments have null for unknown values. Version 1 had 0.
 */
export const resultVersion = 2;

const count = z.number().int().min(0);
const amount = z.number();

const latencySchema = z.object({
  count: count.describe('values in the histogram'),
  p50: amount.describe('median, in µs'),
  p90: amount.describe('90th percentile, in µs'),
  p99: amount.describe('99th percentile, in µs'),
  p999: amount.describe('99.9th percentile, in µs'),
  max: amount.describe('highest, in µs'),
  histogram: z.string().describe('the whole histogram, as HdrHistogram encodes it (V2, compressed, base64), in µs'),
});

/** For files that were written before there was such a figure. */
const noLatency = { count: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0, histogram: '' };

const momentSchema = z.object({
  atSeconds: amount.describe('since the measured time began, in seconds'),
  publishedPerSecond: amount.describe('publications per second since the previous moment'),
  deliveriesPerSecond: amount.describe('deliveries per second since the previous moment'),
  connected: amount.describe('open connections'),
  serverCpu: amount.nullable().describe('share of a CPU, of all servers together; null if they run elsewhere'),
  redisCpu: amount.nullable().describe('share of a CPU, of Redis; null if there is none, or if it runs elsewhere'),
  generatorCpu: amount.describe('share of a CPU, of the generator process that used the most'),
  serverRssBytes: amount.nullable().describe('resident memory of all servers; null if they run elsewhere'),
  kernelTcpBytes: amount.describe('TCP buffers of all sockets of this machine'),
});

const garbageSchema = z.object({
  process: z.string().describe('name of the server process, in the order of `publisherServers`'),
  scavenges: count.describe('collections of the young generation'),
  pauses: count.describe('all pauses for garbage collection, including marking'),
  longestScavengeUs: amount.describe('longest pause for a collection of the young generation, in µs'),
  longestPauseUs: amount.describe('longest pause for any collection, in µs'),
  pausedUs: amount.describe('all pauses together, in µs'),
  heapBytes: amount.describe('bytes allocated in the heap, with the small share of the measurement itself'),
  bufferBytes: amount.describe('bytes allocated for buffers outside the heap; a lower bound'),
});

const disturbanceSchema = z.discriminatedUnion('name', [
  z.object({ name: z.literal('storm'), atSeconds: amount, share: amount }),
  z.object({ name: z.literal('churn'), connectionsPerSecond: amount }),
  z.object({ name: z.literal('resubscribe'), subscriptionsPerSecond: amount }),
  z.object({ name: z.literal('stall'), atSeconds: amount, share: amount }),
  z.object({ name: z.literal('absence'), atSeconds: amount, seconds: amount, share: amount }),
]);

const workloadSchema = z.object({
  topics: count.describe('topics'),
  subscribers: count.describe('subscribing connections'),
  subscriptions: z
    .discriminatedUnion('name', [
      z.object({ name: z.literal('all') }),
      z.object({ name: z.literal('one') }),
      z.object({ name: z.literal('some'), topics: count }),
    ])
    .describe('topics of each: `all`, `one` in turn, or `some` (`topics`)'),
  topicPrefix: z.string().default('load').describe('begins the names of all topics'),
  publishers: count.describe('publishing connections'),
  perSecond: amount.describe('publications per second, of all publishers together; 0: none'),
  burst: count.describe('publications sent together'),
  choice: z
    .discriminatedUnion('name', [
      z.object({ name: z.literal('inTurn') }),
      z.object({ name: z.literal('zipf'), exponent: amount }),
    ])
    .describe('which topic comes next: `inTurn`, or `zipf` (`exponent`)'),
  publicationBytes: count.describe('size of a publication’s data'),
  warmUpSeconds: amount.describe('time before the measured time'),
  seconds: amount.describe('length of the measured time'),
  disturbances: z
    .array(disturbanceSchema)
    .readonly()
    .describe('what happens to subscribers during the run: `storm`, `churn`, `resubscribe`, `stall`, `absence`'),
  subscriberServers: z
    .array(count)
    .readonly()
    .nullable()
    .describe('which of the servers subscribers connect to; null: all'),
  publisherServers: z
    .array(count)
    .readonly()
    .nullable()
    .describe('which of the servers publishers connect to; null: all'),
}) satisfies z.ZodType<Workload>;

const loadResultSchema = z.object({
  scenario: z.string().default('').describe('name of the scenario; empty in files of older versions'),
  label: z.string().describe('which run of the scenario'),
  server: z.string().describe('the server under load'),
  workload: workloadSchema.describe('the load, as below'),
  published: count.describe('publications sent in the measured time'),
  deliveries: count.describe('publications that arrived, counted per subscriber'),
  lost: count.describe('deliveries that did not arrive, of publications sent without acknowledgement'),
  lostInWarmUp: count.default(0).describe('the same for the warm-up; not part of `lost`'),
  repeated: count.describe('deliveries that arrived twice or out of order'),
  foreign: count.describe('deliveries that do not belong to this load'),
  unproven: count.describe(
    'streams without a delivery to a subscriber that connected during the run: the expected deliveries are unknown',
  ),
  reported: count.describe('gaps and resets that the typed client reported'),
  failures: z.record(z.string(), count).readonly().describe('failures of connections, and how often each occurred'),
  connected: count.describe('subscribing connections at the end'),
  elapsedSeconds: amount.describe('from the first publication until no publication was in flight'),
  latency: latencySchema.describe('from the scheduled time of a publication to its delivery, as below'),
  answers: latencySchema
    .default(noLatency)
    .describe('from the scheduled time of a publication over HTTP to the answer, as below; empty for other publishers'),
  handshake: latencySchema.describe(
    'from the first packet of a connection until all its subscriptions were confirmed, as below',
  ),
  back: latencySchema.describe(
    'from a storm, the end of an absence or a replacement until the connection was subscribed again, as below',
  ),
  serverCpuUs: amount.nullable().describe('CPU time of all servers, in µs; null if they run elsewhere'),
  redisCpuUs: amount.nullable().describe('CPU time of Redis, in µs; null if there is none, or if it runs elsewhere'),
  serverCpuUsPerDelivery: amount.nullable().describe('CPU time of all servers per delivery, in µs'),
  serverBytesPerConnection: amount
    .nullable()
    .describe(
      'growth of the servers’ anonymous memory while the connections were opened, per subscribing connection; noise if there are few',
    ),
  serverRssBytes: amount.nullable().describe('resident memory of all servers at the end'),
  kernelTcpBytes: amount.describe('TCP buffers of all sockets of this machine at the end'),
  redisCommands: amount.nullable().describe('commands that Redis has carried out'),
  redisInputBytes: amount.nullable().describe('bytes that Redis has received'),
  redisOutputBytes: amount.nullable().describe('bytes that Redis has sent'),
  slipP99Us: amount.describe(
    '99th percentile of the delay of sending, in µs: how well the generator kept its schedule',
  ),
  lateShare: amount.describe('share of the publications that were sent late'),
  generatorCpu: amount.describe('share of a CPU, of the generator process that used the most'),
  generatorLoopLagP99Ms: amount.describe('99th percentile of the event loop’s lag in the generator, in ms'),
  serverLoopLagP99Ms: amount
    .nullable()
    .default(null)
    .describe(
      '99th percentile of the event loop’s lag in the Fanfare node that lagged the most, in ms; null for others',
    ),
  garbage: z
    .array(garbageSchema)
    .readonly()
    .nullable()
    .default(null)
    .describe('garbage collections of each server on Node, as below; null if they were not measured'),
  moments: z.array(momentSchema).readonly().describe('the timeline, twice per second, as below'),
  complaints: z.array(z.string()).readonly().describe('warnings that make the figures invalid; empty: they are valid'),
});

const rateSearchSchema = z.object({
  scenario: z.string().describe('name of the scenario'),
  label: z.string().describe('which run of the scenario'),
  server: z.string().describe('the server under load'),
  highestPerSecond: amount.nullable().describe('highest rate that held, in publications per second; null: none held'),
  limitedBy: z
    .enum(['generator', 'server'])
    .describe('what limited the next higher rate: the `generator`, or the `server` with everything that it depends on'),
  says: z.string().describe('the same in sentences'),
});

export const resultFileSchema = z.object({
  version: z.literal(resultVersion).describe('version of this schema'),
  startedAt: z.string().describe('start time, ISO 8601'),
  machine: z.string().describe('machine of the generator, and of the servers unless they run elsewhere'),
  command: z.string().describe('the command, without its token'),
  results: z.array(loadResultSchema).min(1).readonly().describe('one result per run, server and round, as below'),
  searches: z
    .array(rateSearchSchema)
    .readonly()
    .default([])
    .describe('results of `--find-max-rate` per run and server, as below'),
});

/** Times in µs. */
export type LatencySummary = Readonly<z.infer<typeof latencySchema>>;

/** Half a second of the measured time, or a part of it. */
export type Moment = Readonly<z.infer<typeof momentSchema>>;

/** The garbage collections of one server process in the measured time. */
export type GarbageReport = Readonly<z.infer<typeof garbageSchema>>;

export type LoadResult = Readonly<z.infer<typeof loadResultSchema>>;

/** The result of a search for the highest rate. */
export type RateSearch = Readonly<z.infer<typeof rateSearchSchema>>;

export type ResultFile = Readonly<z.infer<typeof resultFileSchema>>;

/** The parts of the schema with their names, in the order of docs/reference/loadtest.md. */
export const resultParts: readonly (readonly [string, z.ZodObject])[] = [
  ['The file', resultFileSchema],
  ['A result', loadResultSchema],
  ['A latency', latencySchema],
  ['Garbage collections', garbageSchema],
  ['A moment', momentSchema],
  ['A workload', workloadSchema],
  ['A search', rateSearchSchema],
];
