/** Compares the findings with the promise of the level. */
import type { Level } from '@fanfare/kit/level';
import type { FindingCount, Findings } from './findings.js';
import type { UnaffectedReport } from './unaffected-topics.js';

/** Whether subscribers may get `gap` and `reset` events. */
export type Resets = 'none' | 'allowed';

/** The results of publishing, over all streams. */
export interface Published {
  readonly published: number;
  readonly acknowledged: number;
  readonly refused: number;
  /** Rejected with `maybeDelivered: true`, or not settled when the run ended. */
  readonly unknown: number;
}

interface Evidence {
  readonly findings: Findings;
  readonly published: Published;
  /** Topics that the fault must not affect; null if there are none. */
  readonly unaffected: UnaffectedReport | null;
  /**
   * How long a publication to these topics may wait for its acknowledgement, and 99 % of deliveries take, in milliseconds.
   * Null: the machine is busy, so delays are not judged, and neither are publications that fail after a long wait.
   */
  readonly maxWaitMs: number | null;
  /** Other problems, one sentence each: a fault that failed, subscribers that never caught up. */
  readonly problems: readonly string[];
}

/** Findings that are forbidden at every level. */
const never: readonly FindingCount[] = [
  'duplicates',
  'outOfOrder',
  'disagreements',
  'corrupt',
  'refusedButDelivered',
  'ended',
  'untracked',
];

/** Also forbidden if the topic keeps history. `fast` only promises to report losses that a node can see. */
const neverWithHistory: readonly FindingCount[] = [
  'lost',
  'lateInDoubt',
  'silentGaps',
  'silentResets',
  'withoutPosition',
];

/** Findings that are allowed only if the fault deletes the history. */
const reported: readonly FindingCount[] = ['reportedGaps', 'reportedResets', 'lostButReported'];

const words: Readonly<Partial<Record<FindingCount, string>>> = {
  duplicates: 'delivered twice',
  outOfOrder: 'out of order',
  lateInDoubt: 'late after an unknown outcome',
  disagreements: 'in a different order for some subscribers',
  refusedButDelivered: 'refused but delivered',
  ended: 'subscriptions ended',
  untracked: 'holes not tracked',
  silentGaps: 'gaps without an event',
  silentResets: 'resets without an event',
  withoutPosition: 'without a position',
  reportedGaps: 'gap events',
  reportedResets: 'reset events',
  lostButReported: 'lost, with an event',
};

/** The reasons for a bad verdict, a few words each; empty if it is good. */
export function reasonsAgainst(
  { findings, published, unaffected, maxWaitMs, problems }: Evidence,
  level: Level,
  resets: Resets,
): string[] {
  const forbidden = [
    ...never,
    ...(level === 'fast' ? [] : neverWithHistory),
    ...(level === 'fast' || resets === 'allowed' ? [] : reported),
  ];
  const reasons = forbidden
    .filter((name) => findings[name] > 0)
    .map((name) => `${findings[name]} ${words[name] ?? name}`);
  // A run without publications proves nothing.
  if (published.acknowledged === 0) reasons.push('no publication was acknowledged');
  if (findings.delivered === 0) reasons.push('nothing was delivered');
  if (unaffected !== null) reasons.push(...effectsOn(unaffected, maxWaitMs));
  return [...reasons, ...problems];
}

function effectsOn(
  { longestWaitMs, failed, latency: { during } }: UnaffectedReport,
  maxWaitMs: number | null,
): string[] {
  // Without deliveries during the fault, nothing is known about its effect.
  const reasons = during.count === 0 ? ['nothing delivered on topics that the fault must not affect'] : [];
  if (maxWaitMs === null) return reasons;
  if (failed > 0) reasons.push(`${failed} failed on topics that the fault must not affect`);
  if (longestWaitMs >= maxWaitMs)
    reasons.push(`a wait of ${Math.round(longestWaitMs)} ms on topics that the fault must not affect`);
  if (during.p99Ms >= maxWaitMs)
    reasons.push(`a p99 of ${Math.round(during.p99Ms)} ms to deliver on topics that the fault must not affect`);
  return reasons;
}
