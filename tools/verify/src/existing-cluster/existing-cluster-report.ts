/** The verdict on a cluster that ran already, as Markdown. */
import { describeMachine } from '@fanfare/kit/machine';
import { markdownTable } from '@fanfare/kit/markdown-table';
import { count, detailsOf, milliseconds, plural } from '../fault-run/verdict-report.js';
import type { ExistingClusterOptions, ExistingClusterResult } from './existing-cluster.js';

export function reportExistingCluster(result: ExistingClusterResult, options: ExistingClusterOptions): string {
  const details = detailsOf(result).map((line) => `- ${line}`);
  const parts = [describeRun(result, options), verdictTable(result), promiseOf(options), details.join('\n')];
  return parts.filter((part) => part !== '').join('\n\n');
}

function describeRun({ seconds }: ExistingClusterResult, options: ExistingClusterOptions): string {
  const { rate, topics, publishersPerTopic, subscribers, topicsPerSubscriber, bytes, urls, level, transports } =
    options;
  return [
    `${describeMachine()}; the cluster at ${urls.join(', ')}, level ${level}.`,
    `${rate} publications/s of ${bytes} bytes over ${plural(topics, 'topic')} with ${plural(publishersPerTopic, 'publisher')} each; ${plural(subscribers, 'subscriber')} of ${plural(topicsPerSubscriber, 'topic')} each, over ${transports.join(', ')}; ${seconds.toFixed(0)} s.`,
  ].join('\n');
}

function verdictTable({
  isGood,
  reasons,
  published,
  findings,
  reconnects,
  longestPauseMs,
  latency,
}: ExistingClusterResult): string {
  const { p50Ms, p99Ms, maxMs } = latency.before;
  return markdownTable(
    ['what', ''],
    [
      ['verdict', isGood ? 'good' : `BAD: ${reasons.join('; ')}`],
      ['acknowledged', count(published.acknowledged)],
      ['refused: nobody received them', count(published.refused)],
      ['unknown: may have been delivered or not', count(published.unknown)],
      ['longest time without an acknowledgement, s', (longestPauseMs / 1_000).toFixed(1)],
      ['delivered', count(findings.delivered)],
      ['acknowledged, and lost without notification', count(findings.lost)],
      ['acknowledged, and missing with notification', count(findings.lostButReported)],
      ['notifications: gaps / resets', `${count(findings.reportedGaps)} / ${count(findings.reportedResets)}`],
      ['twice', count(findings.duplicates)],
      ['out of order', count(findings.outOfOrder + findings.lateInDoubt + findings.disagreements)],
      ['reconnects of subscribers', count(reconnects)],
      ['delivery latency, ms: p50 / p99 / max', [p50Ms, p99Ms, maxMs].map(milliseconds).join(' / ')],
    ],
  );
}

function promiseOf({ level }: ExistingClusterOptions): string {
  if (level === 'fast')
    return 'Promised at level fast: each publication is delivered at most once, and losses that a node can see are notified.';
  return 'Promised: every acknowledged publication reaches every subscriber once and in order, or the subscriber is notified (docs/guarantees.md). Nothing is promised for the others.';
}
