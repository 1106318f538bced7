/** Subscribers that are watched, in this process or in another one. */
import type { Findings } from './findings.js';
import type { LatencyByPhase } from './latency.js';
import type { LedgerEntries } from './ledger.js';

/** A number for each lane, by the lane's id. */
export type NumberOfLane = ReadonlyMap<number, number>;

/** How long to wait for subscribers. */
export interface Patience {
  /** Nothing more has come for so long to those that are behind. */
  readonly idleMs: number;
  /** In any case. */
  readonly maxMs: number;
}

export interface AudienceReport {
  readonly findings: Findings;
  readonly latency: LatencyByPhase;
  /** Connections that ended though nobody closed them. */
  readonly reconnects: number;
}

export interface Audience extends AsyncDisposable {
  faultBegins(): void;
  faultEnds(): void;
  /** The number up to which all subscribers of the lane have come; Infinity where there are none. */
  reached(lane: number): number;
  /** Resolves with true once all subscribers have reached these numbers, with false where patience is at its end. */
  catchUp(targets: NumberOfLane, patience: Patience): Promise<boolean>;
  judge(ledgers: ReadonlyMap<number, LedgerEntries>): Promise<AudienceReport>;
}
