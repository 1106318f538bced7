/** The table of `levels`, in Markdown. */
import { type CandidateName, type LevelsOptions, type LevelsSample, workloads } from './levels.js';
import { describeMachine } from './machine.js';
import { markdownTable } from './markdown-table.js';
import { median } from './median.js';

export function reportLevels(samples: readonly LevelsSample[], options: LevelsOptions): string {
  const { publicationBytes, rounds, seconds } = options;
  const rows = options.workloads.flatMap((workload) =>
    options.candidates.map((candidate) => {
      const own = samples.filter((each) => each.workload === workload && each.candidate === candidate && each.isValid);
      const redis = own.map(({ redisNs }) => redisNs);
      const publisher = own.flatMap(({ publisherNs }) => publisherNs ?? []);
      const subscriber = own.flatMap(({ subscriberNs }) => subscriberNs ?? []);
      return [
        workloads[workload].title,
        candidate,
        micros(redis),
        micros(publisher),
        micros(subscriber),
        ratio(own, samples, 'plain', ({ redisNs }) => redisNs),
        ratio(own, samples, 'fast', nodesNs),
        `${own.length} of ${rounds}`,
      ];
    }),
  );
  const head = [
    'traffic',
    'level',
    'Redis, µs',
    'publishing node, µs',
    'receiving node, µs',
    'Redis, times plain',
    'nodes, times fast',
    'valid rounds',
  ];
  return [
    `${describeMachine()}; processes not pinned.`,
    `CPU time for each publication of ${publicationBytes} bytes, which enters at one node and leaves at another to one subscriber; ${rounds} rounds of ${seconds} s, levels in turns, fresh processes each time.`,
    'Medians with lowest and highest; ratios are medians of the ratios within a round. plain: PUBLISH for each publication, written to Redis by hand, and one SUBSCRIBE; nothing else in between. acked: with an answer to each, and a messageId. durable: with one replica. Each publication is numbered; a round in which one is missing, doubled or unanswered does not count.',
    '',
    markdownTable(head, rows),
  ].join('\n');
}

function nodesNs({ publisherNs, subscriberNs }: LevelsSample): number {
  return (publisherNs ?? Number.NaN) + (subscriberNs ?? Number.NaN);
}

function micros(values: readonly number[]): string {
  if (values.length === 0) return '';
  const show = (ns: number): string => (ns / 1_000).toFixed(1);
  return `${show(median(values))} (${show(Math.min(...values))} to ${show(Math.max(...values))})`;
}

function ratio(
  own: readonly LevelsSample[],
  all: readonly LevelsSample[],
  base: CandidateName,
  read: (sample: LevelsSample) => number,
): string {
  const ratios = own.flatMap((sample) => {
    const other = all.find(
      (each) => each.candidate === base && each.round === sample.round && each.workload === sample.workload,
    );
    return other?.isValid ? read(sample) / read(other) : [];
  });
  return ratios.length === 0 || Number.isNaN(ratios[0]) ? '' : median(ratios).toFixed(2);
}
