/** The study `levels`: its options. */

export const candidateNames = [
  'plain',
  'fast',
  'fast-acked',
  'recoverable',
  'recoverable-acked',
  'durable-acked',
] as const;
export type CandidateName = (typeof candidateNames)[number];

export interface Workload {
  /** Number of topics. One subscriber subscribes to all of them. */
  readonly topics: number;
  /** Publications written together, each to the next topic. */
  readonly burst: number;
  readonly perSecond: number;
}

export const workloadNames = ['one-topic', 'many-topics'] as const;
type WorkloadName = (typeof workloadNames)[number];

export const workloads: Readonly<Record<WorkloadName, Workload>> = {
  'one-topic': { topics: 1, burst: 1, perSecond: 5_000 },
  'many-topics': { topics: 200, burst: 20, perSecond: 20_000 },
};

export interface LevelsOptions {
  readonly candidates: readonly CandidateName[];
  readonly workloads: readonly Workload[];
  readonly publicationBytes: number;
  readonly rounds: number;
  /** Length of each measured window. */
  readonly seconds: number;
}

export function describeWorkload({ topics, burst, perSecond }: Workload): string {
  return `${topics} ${topics === 1 ? 'topic' : 'topics'}, bursts of ${burst}, ${perSecond.toLocaleString('en')}/s`;
}
