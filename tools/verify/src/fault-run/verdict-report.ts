/** The verdicts as Markdown, so that a terminal and a page show the same. */
import { describeMachine } from '@fanfare/kit/machine';
import { markdownTable } from '@fanfare/kit/markdown-table';
import type { CheckerReport } from '../checker/checker.js';
import { type LatencyByPhase, phases } from '../checker/latency.js';
import { placementNames } from '../cluster/placement.js';
import type { FaultRunOptions, FaultRunResult } from './fault-run.js';

export function reportVerdicts(results: readonly FaultRunResult[], options: FaultRunOptions): string {
  return [
    describeRun(options),
    verdictTable(results),
    latencyTable(results),
    ...unaffectedTable(results),
    ...results.flatMap(explain),
  ].join('\n\n');
}

function describeRun(options: FaultRunOptions): string {
  const {
    rate,
    topics,
    publishersPerTopic,
    subscribers,
    topicsPerSubscriber,
    bytes,
    nodes,
    redis,
    level,
    seconds,
    transports,
  } = options;
  return [
    `${describeMachine()}; ${nodes} nodes, ${placementNames[redis]}, level ${level}.`,
    `${rate} publications/s of ${bytes} bytes over ${topics} topics with ${plural(publishersPerTopic, 'publisher')} each; ${subscribers} subscribers of ${plural(topicsPerSubscriber, 'topic')} each, over ${transports.join(', ')}; ${seconds} s for each fault.`,
  ].join('\n');
}

function verdictTable(results: readonly FaultRunResult[]): string {
  const rows = results.map((result) => {
    const { findings, published, repair, detection } = result;
    return [
      result.fault,
      result.isGood ? 'good' : `BAD: ${result.reasons.join('; ')}`,
      count(published.acknowledged),
      `${count(published.refused)} / ${count(published.unknown)}`,
      count(findings.delivered),
      count(findings.lost),
      count(findings.duplicates),
      count(findings.outOfOrder + findings.lateInDoubt + findings.disagreements),
      `${count(findings.reportedGaps)} / ${count(findings.reportedResets)}`,
      count(findings.lostButReported),
      count(result.reconnects),
      detection === null ? '' : seconds(detection.afterMs),
      seconds(repair.caughtUpMs),
      seconds(repair.servedMs),
    ];
  });
  const head = [
    'fault',
    'verdict',
    'acknowledged',
    'refused / unknown',
    'delivered',
    'lost',
    'twice',
    'out of order',
    'gaps / resets',
    'reported',
    'reconnects',
    'noticed after, s',
    'caught up after, s',
    'served after, s',
  ];
  return markdownTable(head, rows);
}

function latencyTable(results: readonly FaultRunResult[]): string {
  const rows = results.map(({ fault, faultMs, latency }) => [fault, seconds(faultMs), ...latencyCells(latency)]);
  const head = ['delivery latency, ms: p50 / p99 / max', 'fault lasted, s', ...phases];
  return markdownTable(head, rows);
}

/** Nothing if no fault had topics that it must not affect. */
function unaffectedTable(results: readonly FaultRunResult[]): string[] {
  const rows = results.flatMap(({ fault, unaffected }) =>
    unaffected === null
      ? []
      : [
          [
            fault,
            count(unaffected.topics),
            milliseconds(unaffected.longestWaitMs),
            ...latencyCells(unaffected.latency),
          ],
        ],
  );
  const head = ['topics that must not notice it: p50 / p99 / max, ms', 'topics', 'longest wait, ms', ...phases];
  return rows.length === 0 ? [] : [markdownTable(head, rows)];
}

function latencyCells(latency: LatencyByPhase): string[] {
  return phases.map((phase) => {
    const { count: samples, p50Ms, p99Ms, maxMs } = latency[phase];
    return samples === 0 ? '' : [p50Ms, p99Ms, maxMs].map(milliseconds).join(' / ');
  });
}

function explain(result: FaultRunResult): string[] {
  const { fault, detection } = result;
  const lines = detection === null ? [] : [`Noticed by ${detection.how}.`];
  lines.push(...detailsOf(result));
  return lines.length === 0 ? [] : [[`${fault}:`, ...lines.map((line) => `- ${line}`)].join('\n')];
}

/** Details that are in no table, one sentence each. */
export function detailsOf({ findings, notes, heldBack, rejections }: CheckerReport): string[] {
  const lines = [...notes];
  const codes = Object.entries(rejections).map(([code, times]) => `${code} ${times}`);
  if (codes.length > 0) lines.push(`Publishes rejected: ${codes.join(', ')}.`);
  if (heldBack > 0) lines.push(`${count(heldBack)} publications were due but not sent: too many had no answer yet.`);
  lines.push(...Object.values(findings.examples).flat());
  return lines;
}

export function count(value: number): string {
  return value.toLocaleString('en');
}

function seconds(ms: number | null): string {
  return ms === null ? 'never' : (ms / 1_000).toFixed(2);
}

export function milliseconds(ms: number): string {
  return ms < 10 ? ms.toFixed(1) : ms.toFixed(0);
}

export function plural(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}
