/** The table of `levels`, in Markdown. */

import { describeMachine } from '@fanfare/kit/machine';
import { markdownTable } from '@fanfare/kit/markdown-table';
import { median } from '@fanfare/kit/median';
import { type CandidateName, describeWorkload, type LevelsOptions } from '../scenarios/levels.js';
import type { LevelsSample } from './levels.js';

/** The candidate that differs only in its level. Null: there is none. */
const fastOf: Readonly<Record<CandidateName, CandidateName | null>> = {
  plain: null,
  fast: 'fast',
  'fast-acked': 'fast-acked',
  recoverable: 'fast',
  'recoverable-acked': 'fast-acked',
  'durable-acked': 'fast-acked',
};

export function reportLevels(samples: readonly LevelsSample[], options: LevelsOptions): string {
  const { publicationBytes, rounds, seconds } = options;
  return [
    `${describeMachine()}; processes not pinned.`,
    `CPU time for each publication of ${publicationBytes} bytes. It enters at one node and leaves at another to one subscriber. ${rounds} rounds of ${seconds} s, levels in turns, new processes each time.`,
    'Medians over the rounds, with lowest and highest; ratios are medians of the ratios within a round. The rate is publications per CPU-second of both nodes together (their kernel time included); more is better. Of Redis, less is better.',
    'plain: a bare publisher process and a bare subscriber process, which write and read RESP by hand. Each publication is one PUBLISH; a burst is one write. There are no clients, and the CPU time for the schedule is subtracted. So this is the lowest cost of plain Redis pub/sub; a node does more. acked: with a messageId and an answer for each publication. durable: with one replica; its CPU time is not in the table. times fast: relative to fast, or to fast-acked for an acked level.',
    'All publications are numbered. A round with a missing, duplicate, misordered or unanswered publication does not count. left late: the share of bursts that were sent when the next one was already due, because the machine was busy. A node may then find both at once, which costs it less.',
    '',
    table(samples, options),
    ...explainInvalid(samples),
  ].join('\n');
}

function table(samples: readonly LevelsSample[], { candidates, rounds, workloads }: LevelsOptions): string {
  const rows = workloads.flatMap((workload) => {
    const ofWorkload = samples.filter((sample) => sample.workload === workload && sample.complaint === null);
    return candidates.map((candidate) => {
      const own = ofWorkload.filter((sample) => sample.candidate === candidate);
      const against = (base: CandidateName | null, read: (sample: LevelsSample) => number): string =>
        describe(ratios(own, ofWorkload, base, read), (ratio) => ratio.toFixed(2));
      return [
        describeWorkload(workload),
        candidate,
        micros(own, ({ publisherNs }) => publisherNs),
        micros(own, ({ subscriberNs }) => subscriberNs),
        micros(own, ({ redisNs }) => redisNs),
        describe(own.map(rateOf), (rate) => Math.round(rate).toLocaleString('en')),
        against('plain', rateOf),
        against(fastOf[candidate], rateOf),
        against('plain', ({ redisNs }) => redisNs),
        describe(
          own.map(({ lateShare }) => lateShare),
          (share) => `${Math.round(share * 100)} %`,
        ),
        `${own.length} of ${rounds}`,
      ];
    });
  });
  const head = [
    'traffic',
    'level',
    'publishing node, µs',
    'receiving node, µs',
    'Redis, µs',
    'rate',
    'rate, times plain',
    'rate, times fast',
    'Redis, times plain',
    'left late',
    'valid rounds',
  ];
  return markdownTable(head, rows);
}

/** Publications per CPU-second of both nodes. */
function rateOf({ publisherNs, subscriberNs }: LevelsSample): number {
  return 1e9 / (publisherNs + subscriberNs);
}

function ratios(
  own: readonly LevelsSample[],
  all: readonly LevelsSample[],
  base: CandidateName | null,
  read: (sample: LevelsSample) => number,
): number[] {
  return own.flatMap((sample) => {
    const other = all.find(({ candidate, round }) => candidate === base && round === sample.round);
    return other === undefined ? [] : [read(sample) / read(other)];
  });
}

function micros(samples: readonly LevelsSample[], read: (sample: LevelsSample) => number): string {
  return describe(samples.map(read), (ns) => (ns / 1_000).toFixed(1));
}

function describe(values: readonly number[], show: (value: number) => string): string {
  if (values.length === 0) return '';
  return `${show(median(values))} (${show(Math.min(...values))} to ${show(Math.max(...values))})`;
}

function explainInvalid(samples: readonly LevelsSample[]): string[] {
  return samples.flatMap(({ candidate, complaint, round, workload }) =>
    complaint === null
      ? []
      : [`\nRound ${round}, ${candidate}, ${describeWorkload(workload)}: INVALID, left out: ${complaint}.`],
  );
}
