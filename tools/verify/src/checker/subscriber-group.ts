/** A group of subscribers under observation, in this process or a different one. */
import type { Findings } from './findings.js';
import type { LatencyByPhase } from './latency.js';
import type { LedgerEntries } from './publish-ledger.js';

/** A number for each stream, by the stream's id. */
export type NumberOfStream = ReadonlyMap<number, number>;

/** How long to wait for subscribers. */
export interface Patience {
  /** The time without a delivery to subscribers that are behind. */
  readonly idleMs: number;
  /** The total time. */
  readonly maxMs: number;
}

export interface GroupReport {
  readonly findings: Findings;
  readonly latency: LatencyByPhase;
  /** Connections that closed unexpectedly. */
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
