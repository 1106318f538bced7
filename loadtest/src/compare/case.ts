/** A case of the comparison. */
import type { Run } from '../scenarios/scenario.js';

export interface Case {
  readonly title: string;
  /** What the figures show, and what to consider. */
  readonly about: string;
  readonly servers: readonly string[];
  /** Ratios are relative to this server. */
  readonly baseline: string;
  /** The server that another column compares with each server. Default: `fanfare-fast`. */
  readonly ours?: string;
  readonly runs: readonly Run[];
  /** Whether it is about latency and garbage collections (latency-report.ts), not about CPU time. */
  readonly measuresLatency?: true;
}
