/** Whether what was found is what the level promises. */
import type { Level } from '@fanfare/kit/level';
import type { FindingCount, Findings } from './findings.js';

/** Whether subscribers may be told that publications are missing. */
export type Resets = 'none' | 'allowed';

/** What the publishers were told, over all streams. */
export interface Published {
  readonly published: number;
  readonly acknowledged: number;
  readonly refused: number;
  /** Rejected with `maybeDelivered: true`, or not settled when the run ended. */
  readonly unknown: number;
}

export interface Evidence {
  readonly findings: Findings;
  readonly published: Published;
  /** What else went wrong, a sentence each: a fault that could not be made, subscribers that never caught up. */
  readonly problems: readonly string[];
}

/** What must never be found, at any level. */
const never: readonly FindingCount[] = [
  'duplicates',
  'outOfOrder',
  'disagreements',
  'corrupt',
  'refusedButDelivered',
  'ended',
  'untracked',
];

/** Besides, where history is kept. `fast` promises only to tell of losses that a node can see. */
const neverWithHistory: readonly FindingCount[] = [
  'lost',
  'lateInDoubt',
  'untoldGaps',
  'untoldResets',
  'withoutPosition',
];

/** What is only allowed where the fault takes the history away. */
const told: readonly FindingCount[] = ['toldGaps', 'toldResets', 'lostButTold'];

const words: Readonly<Partial<Record<FindingCount, string>>> = {
  duplicates: 'delivered twice',
  outOfOrder: 'out of order',
  lateInDoubt: 'late though in doubt',
  disagreements: 'in disagreement about the order',
  refusedButDelivered: 'refused but delivered',
  ended: 'subscriptions ended',
  untracked: 'holes untracked',
  untoldGaps: 'gaps untold',
  untoldResets: 'resets untold',
  withoutPosition: 'without a position',
  toldGaps: 'gaps told',
  toldResets: 'resets told',
  lostButTold: 'lost, though told',
};

/** Why the verdict is bad, a few words each; empty where it is good. */
export function reasonsAgainst({ findings, published, problems }: Evidence, level: Level, resets: Resets): string[] {
  const forbidden = [
    ...never,
    ...(level === 'fast' ? [] : neverWithHistory),
    ...(level === 'fast' || resets === 'allowed' ? [] : told),
  ];
  const reasons = forbidden
    .filter((name) => findings[name] > 0)
    .map((name) => `${findings[name]} ${words[name] ?? name}`);
  // Where nothing happens, nothing goes wrong: that proves nothing.
  if (published.acknowledged === 0) reasons.push('no publication was acknowledged');
  if (findings.delivered === 0) reasons.push('nothing was delivered');
  return [...reasons, ...problems];
}
