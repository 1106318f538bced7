/** Subscribers that are watched, in this process or in another one. */
import type { Findings } from './findings.js';
import type { LatencyByPhase } from './latency.js';
import type { LedgerEntries } from './publish-ledger.js';

/** A number for each stream, by the stream's id. */
export type NumberOfStream = ReadonlyMap<number, number>;

/** How long to wait for subscribers. */
export interface Patience {
  /** Nothing more has come for so long to those that are behind. */
  readonly idleMs: number;
  /** In any case. */
  readonly maxMs: number;
}

export interface GroupReport {
  readonly findings: Findings;
  readonly latency: LatencyByPhase;
  /** Connections that ended though nobody closed them. */
  readonly reconnects: number;
}

export interface SubscriberGroup extends AsyncDisposable {
  faultBegins(): void;
  faultEnds(): void;
  /** The number that all subscribers of the stream have reached; Infinity if there are no subscribers. */
  reached(stream: number): number;
  /** Resolves with true once all subscribers have reached these numbers, with false if they take too long. */
  catchUp(targets: NumberOfStream, patience: Patience): Promise<boolean>;
  judge(ledgers: ReadonlyMap<number, LedgerEntries>): Promise<GroupReport>;
}
