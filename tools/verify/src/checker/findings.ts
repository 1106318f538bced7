/** What a check has found, as counts that can be added up, with some examples in words. */

/** Each count, and what it means. */
export const findingCounts = {
  delivered: 'publications handed out to subscribers, each time anew',
  lost: 'acknowledged, never handed out, and no gap or reset was told: once for each subscriber',
  lostButTold: 'acknowledged and never handed out, but the subscriber was told of a gap or reset there',
  duplicates: 'handed out again',
  outOfOrder: 'handed out behind a later publication of the same stream, or at a position before the last one',
  lateInDoubt: 'behind a later publication of the same stream; its publish was rejected with `maybeDelivered: true`',
  disagreements: 'at this position another subscriber, or the acknowledgement, has another publication',
  corrupt: 'not what was published: the checksum is wrong, or nobody published that number on that topic',
  refusedButDelivered: 'handed out, although its publish was rejected with `maybeDelivered: false`',
  toldGaps: 'events `gap`',
  toldResets: 'events `reset`',
  untoldGaps: 'positions left out with no event `gap` or `reset`',
  untoldResets: 'another epoch with no event `reset` or `gap`',
  withoutPosition: 'handed out without a position',
  ended: 'subscriptions that ended by themselves',
  untracked: 'holes that the checker had no room to remember: it cannot vouch for them',
} as const;

export type FindingCount = keyof typeof findingCounts;
export type Findings = Record<FindingCount, number> & { examples: Partial<Record<FindingCount, string[]>> };

/** More of a kind are counted, but not told. */
const maxExamples = 3;

export function noFindings(): Findings {
  const names = Object.keys(findingCounts) as FindingCount[];
  const counts = Object.fromEntries(names.map((name) => [name, 0])) as Record<FindingCount, number>;
  return { ...counts, examples: {} };
}

export function find(findings: Findings, what: FindingCount, count: number, example: string): void {
  if (count <= 0) return;
  findings[what] += count;
  addExamples(findings, what, [example]);
}

export function addFindings(sum: Findings, more: Findings): void {
  for (const name of Object.keys(findingCounts) as FindingCount[]) {
    sum[name] += more[name];
    addExamples(sum, name, more.examples[name] ?? []);
  }
}

function addExamples({ examples }: Findings, what: FindingCount, sentences: readonly string[]): void {
  if (sentences.length === 0) return;
  examples[what] = [...(examples[what] ?? []), ...sentences].slice(0, maxExamples);
}
