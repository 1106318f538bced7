/** What a check found. Each sentence is for a person who did not set up the broker. */

/** `problem`: something does not work, or soon will not. `warning`: it works, but not as it should. */
export type Verdict = 'ok' | 'warning' | 'problem' | 'skipped';

export interface Finding {
  readonly verdict: Verdict;
  /** Names the check, for machines. */
  readonly check: string;
  readonly sentence: string;
  /** The likely cause. */
  readonly cause?: string;
  /** What to do. */
  readonly advice?: string;
}

export type Report = (finding: Finding) => void;
