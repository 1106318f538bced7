/** The tables of `fanout`, in Markdown, so that a terminal and a page show the same. */
import type { FanoutOptions, FanoutSamples, TrafficSample } from './fanout.js';
import type { MemorySample } from './idle-memory.js';
import { describeMachine } from './machine.js';
import { markdownTable } from './markdown-table.js';
import { median } from './median.js';
import { type ShapeName, shapes } from './shape.js';
import { latencySample } from './tally.js';

export function reportFanout(samples: FanoutSamples, options: FanoutOptions): string {
  const sections = [describeRun(samples, options)];
  if (samples.traffic.length > 0) sections.push(trafficTable(samples.traffic, options));
  if (samples.memory.length > 0) sections.push(memoryTable(samples.memory));
  sections.push(...explainSamples(samples.traffic));
  return sections.join('\n\n');
}

function describeRun({ pinning }: FanoutSamples, options: FanoutOptions): string {
  const { subscribers, publicationBytes, rounds, seconds } = options;
  const pinned =
    pinning.server === null
      ? 'not pinned'
      : `server on CPU ${pinning.server}, generator on CPU ${pinning.generator}, each one process`;
  return [
    `${describeMachine()}; ${pinned}.`,
    `${subscribers} subscribers, publications of ${publicationBytes} bytes, ${rounds} rounds of ${seconds} s, drivers in turns, fresh processes in each round.`,
    `Medians over the rounds; ratios are medians of the ratios within a round, with lowest and highest. Every delivery is counted and its number checked; latency (from the planned time of sending, taken on 1 subscriber in ${latencySample}) includes the generator's own reading.`,
    'Ratios are deliveries per CPU-second: raw publishes each message in the handler it came in, raw deferred after the handler, raw packed is 64 publications that the publisher packed into one message (nothing can be cheaper).',
    'Memory of an idle subscriber: what the server process grew by (anonymous memory, after a garbage collection before and after), divided by the subscribers.',
  ].join('\n');
}

function trafficTable(samples: readonly TrafficSample[], { shapes: names }: FanoutOptions): string {
  const rows = names.flatMap((name) => {
    const ofShape = samples.filter(({ shape }) => shape === name);
    const variants = [...new Set(ofShape.map(({ variant }) => variant))];
    const isBurst = name === 'burst' || name === 'packed-burst';
    const perMessage = isBurst ? 'burst' : name;
    return variants.map((variant) => {
      const own = ofShape.filter((sample) => sample.variant === variant && sample.isValid);
      const cpuNs = median(own.map(({ cpuNsPerDelivery }) => cpuNsPerDelivery));
      return [
        shapes[name].title,
        variant,
        (cpuNs / 1_000).toFixed(3),
        Math.round(1e9 / cpuNs).toLocaleString('en'),
        ratio(own, samples, 'raw', perMessage),
        ratio(own, samples, 'raw deferred', perMessage),
        isBurst ? ratio(own, samples, 'raw', 'packed-burst') : '',
        latency(own, 'latencyP50Us'),
        latency(own, 'latencyP99Us'),
      ];
    });
  });
  const head = [
    'traffic',
    'server',
    'server CPU per delivery, µs',
    'deliveries per CPU-second',
    'times raw',
    'times raw deferred',
    'times raw packed',
    'p50, ms',
    'p99, ms',
  ];
  return markdownTable(head, rows);
}

/** Deliveries per CPU-second of these samples against those of another variant and shape, round by round. */
function ratio(
  own: readonly TrafficSample[],
  all: readonly TrafficSample[],
  otherVariant: string,
  otherShape: ShapeName,
): string {
  const ratios = own.flatMap(({ round, cpuNsPerDelivery }) => {
    const other = all.find(
      (sample) =>
        sample.round === round && sample.variant === otherVariant && sample.shape === otherShape && sample.isValid,
    );
    return other === undefined ? [] : [other.cpuNsPerDelivery / cpuNsPerDelivery];
  });
  return describeRatios(ratios);
}

function memoryTable(samples: readonly MemorySample[]): string {
  const titles = { shared: 'one topic for all', own: 'a topic for each' };
  const rows = (['shared', 'own'] as const).flatMap((topics) => {
    const ofTopics = samples.filter((sample) => sample.topics === topics);
    const variants = [...new Set(ofTopics.map(({ variant }) => variant))];
    return variants.map((variant) => {
      const own = ofTopics.filter((sample) => sample.variant === variant);
      const ratios = own.flatMap(({ round, perSubscriber }) => {
        const raw = ofTopics.find((other) => other.round === round && other.variant === 'raw');
        return raw === undefined ? [] : [perSubscriber.anonymousBytes / raw.perSubscriber.anonymousBytes];
      });
      return [
        titles[topics],
        variant,
        bytes(own.map(({ perSubscriber }) => perSubscriber.anonymousBytes)),
        describeRatios(ratios),
        bytes(own.map(({ perSubscriber }) => perSubscriber.rssBytes)),
      ];
    });
  });
  return markdownTable(['idle subscribers', 'server', 'bytes each', 'times raw', 'bytes each, RSS'], rows);
}

function explainSamples(samples: readonly TrafficSample[]): string[] {
  const lines = samples.flatMap(({ isValid, doubts, round, run, shape, variant }) => {
    const where = `Round ${round}, ${variant}, ${shape}`;
    if (!isValid) return [`${where}: INVALID, left out: ${run.lost} lost, ${run.repeated} repeated or out of order.`];
    return doubts.map((doubt) => `${where}: doubtful, ${doubt}.`);
  });
  if (lines.length > 0) return [lines.join('\n')];
  return samples.length === 0 ? [] : ['Nothing was lost, repeated or out of order; no burst overlapped the next.'];
}

function describeRatios(ratios: readonly number[]): string {
  if (ratios.length === 0) return '';
  return `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`;
}

function bytes(values: readonly number[]): string {
  return Math.round(median(values)).toLocaleString('en');
}

/** Milliseconds; where most bursts were sent before the last had arrived, only the queue's length would be told. */
function latency(samples: readonly TrafficSample[], percentile: 'latencyP50Us' | 'latencyP99Us'): string {
  if (median(samples.map(({ run }) => run.overlaps / run.bursts)) > 0.5) return 'falls behind';
  return (median(samples.map(({ run }) => run[percentile])) / 1_000).toFixed(2);
}
