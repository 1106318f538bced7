/** The tables of the comparison, in Markdown, so that a terminal and docs/performance.md show the same. */

import { describeMachine } from '@fanfare/kit/machine';
import { markdownTable } from '@fanfare/kit/markdown-table';
import { median } from '@fanfare/kit/median';
import type { LoadResult } from '../load/result.js';
import { type Compared, type Comparison, caseNamed } from './compare.js';
import { costOf, isPublishingOnly, tableOfFilled } from './figures.js';
import type { IdleSample } from './idle.js';
import { latencySection } from './latency-report.js';
import { coverageOf, type Estimate, estimate } from './statistics.js';

export function reportComparison({ comparisons, idle, missing }: Compared, command: string, rounds: number): string {
  const sections = [
    `${describeMachine()}; ${rounds} ${rounds === 1 ? 'round' : 'rounds'}, servers in turns, fresh processes each time. \`${command}\``,
    `CPU is the CPU time of the servers, and of Redis if they use it, divided by the deliveries (by the publications if nobody subscribes). "Times" is the number of deliveries that a server makes with the CPU time that the other needs for one: ${describeTimes(rounds)}. Latency counts from the planned moment of sending: until the delivery, or until the answer if nobody subscribes.`,
    ...comparisons.map(section),
  ];
  if (idle.length > 0) sections.push(idleSection(idle));
  if (missing.length > 0) sections.push(`Left out:\n\n${missing.map((each) => `- ${each}`).join('\n')}`);
  return sections.join('\n\n');
}

function describeTimes(rounds: number): string {
  if (rounds === 1) return 'the ratio within the only round, whose error is unknown';
  const ratio = 'the median of the ratios within a round';
  const coverage = coverageOf(rounds);
  const confidence = `${Number((coverage * 100).toFixed(2))} % confidence`;
  return coverage < 0.95
    ? `${ratio}, with the lowest and the highest of them; ${rounds} rounds contain the true median with only ${confidence}`
    : `${ratio}, with the interval that contains the true median with ${confidence}; less if rounds are invalid`;
}

function section(comparison: Comparison): string {
  const { title, about, measuresLatency } = caseNamed(comparison.name);
  const table = measuresLatency ? latencySection : comparison.name === 'storm' ? stormTable : costTable;
  return `### ${title}\n\n${about}\n\n${table(comparison)}`;
}

function costTable({ name, results }: Comparison): string {
  const { baseline, ours = 'fanfare-fast' } = caseNamed(name);
  const isPublishing = results.some(isPublishingOnly);
  const latencyOf = ({ answers, latency }: LoadResult): LoadResult['latency'] => (isPublishing ? answers : latency);
  const rows: string[][] = [];
  for (const label of new Set(results.map((result) => result.label))) {
    const ofLabel = results.filter((result) => result.label === label);
    for (const server of serversOf(ofLabel)) {
      const own = ofLabel.filter((result) => result.server === server);
      const valid = own.filter((result) => costOf(result) !== null);
      const cost = median(valid.flatMap((result) => costOf(result) ?? []));
      rows.push([
        label,
        server,
        valid.length === 0 ? '' : cost < 1 ? cost.toFixed(3) : cost.toFixed(2),
        times(ratios(ofLabel, server, baseline)),
        times(ratios(ofLabel, ours, server)),
        milliseconds(valid.map((result) => latencyOf(result).p50)),
        milliseconds(valid.map((result) => latencyOf(result).p99)),
        perDelivery(valid),
        `${valid.length} of ${own.length}`,
      ]);
    }
  }
  const head = [
    name === 'subscribers' || name === 'topics' || name === 'nodes' ? name : 'publications',
    'server',
    `CPU per ${isPublishing ? 'publication' : 'delivery'}, µs`,
    `times ${baseline}`,
    `${ours}, times this`,
    'p50, ms',
    'p99, ms',
    'Redis commands per publication',
    'valid rounds',
  ];
  return tableOfFilled(head, rows);
}

/** How many deliveries `server` makes for one of `other`, by CPU time, in each round where both count. */
export function ratios(
  results: readonly (LoadResult & { readonly round: number })[],
  server: string,
  other: string,
): readonly number[] {
  return [...new Set(results.map(({ round }) => round))].flatMap((round) => {
    const cost = (name: string): number | null => {
      const result = results.find((each) => each.round === round && each.server === name);
      return result === undefined ? null : costOf(result);
    };
    const [own, its] = [cost(server), cost(other)];
    return own === null || its === null ? [] : [its / own];
  });
}

function stormTable({ results }: Comparison): string {
  const rows = serversOf(results).map((server) => {
    const own = results.filter((result) => result.server === server);
    const seconds = (pick: (result: LoadResult) => number): string => (median(own.map(pick)) / 1e6).toFixed(2);
    const cpu = median(own.map(({ serverCpuUs, redisCpuUs }) => (serverCpuUs ?? 0) + (redisCpuUs ?? 0)));
    return [
      server,
      seconds(({ back }) => back.p50),
      seconds(({ back }) => back.p99),
      seconds(({ back }) => back.max),
      String(Math.min(...own.map(({ connected }) => connected))),
      (cpu / 1e6).toFixed(2),
      String(median(own.map(({ lost }) => lost))),
    ];
  });
  return markdownTable(
    [
      'server',
      'half back after, s',
      '99 %, s',
      'all, s',
      'connected at the end',
      'CPU of the whole run, s',
      'lost on connected sockets',
    ],
    rows,
  );
}

function idleSection(idle: readonly IdleSample[]): string {
  const rounds = [...new Set(idle.map(({ round }) => round))];
  const of = (server: string, round: number): number | undefined =>
    idle.find((sample) => sample.server === server && sample.round === round)?.bytesPerSubscriber;
  const rows = [...new Set(idle.map(({ server }) => server))].map((server) => {
    const own = idle.filter((sample) => sample.server === server).map(({ bytesPerSubscriber }) => bytesPerSubscriber);
    const against = (other: string): number[] =>
      rounds.flatMap((round) => {
        const [one, base] = [of(server, round), of(other, round)];
        return one === undefined || base === undefined || base <= 0 ? [] : [one / base];
      });
    return [
      server,
      Math.round(median(own)).toLocaleString('en'),
      times(against('raw')),
      times(against('fanfare-fast')),
    ];
  });
  return `### Memory of an idle subscriber\n\nAll subscribe to one topic. The growth of the server’s anonymous memory, divided by the subscribers; after a garbage collection, if the server supports one.\n\n${tableOfFilled(
    ['server', 'bytes', 'times raw', 'times fanfare-fast'],
    rows,
  )}`;
}

function serversOf(results: readonly LoadResult[]): readonly string[] {
  // The order of servers differs between rounds. The first round uses the order of the case.
  return [...new Set(results.map(({ server }) => server))];
}

function times(values: readonly number[]): string {
  const found: Estimate | null = estimate(values);
  if (found === null) return '';
  const text = (value: number): string => (value >= 10 ? value.toFixed(1) : value.toFixed(2));
  return values.length === 1 ? text(found.median) : `${text(found.median)} (${text(found.low)} to ${text(found.high)})`;
}

function milliseconds(us: readonly number[]): string {
  return us.length === 0 ? '' : (median(us) / 1_000).toFixed(2);
}

function perDelivery(results: readonly LoadResult[]): string {
  const own = results.flatMap(({ redisCommands, published }) =>
    redisCommands === null || published === 0 ? [] : [redisCommands / published],
  );
  return own.length === 0 ? '' : median(own).toFixed(2);
}
