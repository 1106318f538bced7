/** A run in one line, for files to which many runs append: the numbers that tell whether the guarantees were kept. */
import type { Transport } from '../checker/checker.js';
import type { Placement } from '../cluster/placement.js';
import type { FaultRunOptions, FaultRunResult } from './fault-run.js';

export interface RunRecord {
  readonly fault: string;
  readonly redis: Placement;
  readonly level: FaultRunOptions['level'];
  readonly transports: readonly Transport[];
  /** Publications per second. */
  readonly rate: number;
  /** `good`, or what is bad. */
  readonly verdict: string;
  readonly acknowledged: number;
  readonly refused: number;
  readonly unknown: number;
  readonly delivered: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  /** Losses and new epochs without an event. */
  readonly unreported: number;
  readonly gaps: number;
  readonly resets: number;
  /** Sentences of the report about the fault. */
  readonly notes: readonly string[];
  /** Topics that the fault must not affect: delivery latency, and the longest wait of a publisher. Null: there are none. */
  readonly others: {
    readonly p99BeforeMs: number;
    readonly p99DuringMs: number;
    readonly longestWaitMs: number;
  } | null;
}

export function recordOf(result: FaultRunResult, options: FaultRunOptions): RunRecord {
  const { fault, reasons, findings, published, notes, unaffected } = result;
  const { redis, level, transports, rate } = options;
  return {
    fault,
    redis,
    level,
    transports,
    rate,
    verdict: reasons.length === 0 ? 'good' : reasons.join('; '),
    acknowledged: published.acknowledged,
    refused: published.refused,
    unknown: published.unknown,
    delivered: findings.delivered,
    lost: findings.lost,
    duplicated: findings.duplicates,
    reordered: findings.outOfOrder + findings.lateInDoubt + findings.disagreements,
    unreported: findings.silentGaps + findings.silentResets,
    gaps: findings.reportedGaps,
    resets: findings.reportedResets,
    notes,
    others:
      unaffected === null
        ? null
        : {
            p99BeforeMs: Math.round(unaffected.latency.before.p99Ms),
            p99DuringMs: Math.round(unaffected.latency.during.p99Ms),
            longestWaitMs: Math.round(unaffected.longestWaitMs),
          },
  };
}
