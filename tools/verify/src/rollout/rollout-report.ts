/** A rollout as Markdown, so that a terminal and a page show the same. */
import { describeMachine } from '@fanfare/kit/machine';
import { markdownTable } from '@fanfare/kit/markdown-table';
import { count, detailsOf } from '../fault-run/verdict-report.js';
import { type RolloutOptions, type RolloutResult, spreadSeconds } from './rollout.js';

export function reportRollout(overlay: string, result: RolloutResult, options: RolloutOptions): string {
  return [
    describeRun(overlay, options),
    describeVerdict(result),
    timelineTable(result),
    connectionsTable(result),
    ...explain(result),
  ].join('\n\n');
}

function describeRun(overlay: string, options: RolloutOptions): string {
  const { rate, bytes, topics, subscribers, topicsPerSubscriber, timeScale } = options;
  const scale = timeScale === 1 ? '' : ` Times refer to the Deployment; the run took ${timeScale} of them.`;
  return `${describeMachine()}; overlay ${overlay}, one Redis.
${rate} publications/s of ${bytes} bytes over ${topics} topics; ${subscribers} subscribers of ${topicsPerSubscriber === 1 ? '1 topic' : `${topicsPerSubscriber} topics`} each.${scale}`;
}

function describeVerdict(result: RolloutResult): string {
  const { isGood, reasons, findings, published, budget, mostConnections, mostOpenedAtOnce, moved, latency } = result;
  const { p50Ms, p99Ms, maxMs } = latency.during;
  return markdownTable(
    ['what', ''],
    [
      ['verdict', isGood ? 'good' : `BAD: ${reasons.join('; ')}`],
      [
        'acknowledged; refused; unknown',
        [published.acknowledged, published.refused, published.unknown].map(count).join('; '),
      ],
      ['delivered', count(findings.delivered)],
      ['lost', count(findings.lost + findings.lostButReported)],
      ['twice', count(findings.duplicates)],
      ['out of order', count(findings.outOfOrder + findings.lateInDoubt + findings.disagreements)],
      ['gaps and resets reported', count(findings.reportedGaps + findings.reportedResets)],
      ['connections moved', count(moved)],
      [`most opened within ${spreadSeconds} s while pods were replaced`, count(mostOpenedAtOnce)],
      ['most connections of a pod; its budget', `${count(mostConnections)}; ${count(budget)}`],
      ['delivery latency, ms: p50 / p99 / max', [p50Ms, p99Ms, maxMs].map((ms) => ms.toFixed(1)).join(' / ')],
    ],
  );
}

function timelineTable({ timeline }: RolloutResult): string {
  return markdownTable(
    ['s', 'what happens'],
    timeline.map(({ seconds, sentence }) => [seconds.toFixed(1), sentence]),
  );
}

/** The number of rows, for runs of any length. */
const rows = 30;

function connectionsTable({ samples }: RolloutResult): string {
  const pods = [...new Set(samples.flatMap(({ connections }) => [...connections.keys()]))].toSorted();
  const lastSeconds = samples.at(-1)?.seconds ?? 0;
  const stepSeconds = Math.max(1, Math.ceil(lastSeconds / rows));
  let openedBefore = 0;
  const body: string[][] = [];
  for (let until = stepSeconds; until < lastSeconds + stepSeconds; until += stepSeconds) {
    const sample = samples.findLast(({ seconds }) => seconds <= until);
    if (sample === undefined) continue;
    body.push([
      String(until),
      ...pods.map((pod) => String(sample.connections.get(pod) ?? '')),
      String(sample.opened - openedBefore),
    ]);
    openedBefore = sample.opened;
  }
  return `Connections of each pod:\n\n${markdownTable(['s', ...pods, 'opened since'], body)}`;
}

function explain(result: RolloutResult): string[] {
  const lines = detailsOf(result);
  return lines.length === 0 ? [] : [lines.map((line) => `- ${line}`).join('\n')];
}
