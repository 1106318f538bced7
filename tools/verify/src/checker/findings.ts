/** The findings of a check, as counts that can be added up, with some examples as text. */

/** Each count, and what it means. */
export const findingCounts = {
  delivered: 'publications delivered to subscribers, counted each time',
  lost: 'acknowledged but not delivered, without a gap or reset event; counted for each subscriber',
  lostButReported: 'acknowledged but not delivered, with a gap or reset event for the subscriber',
  duplicates: 'delivered again',
  outOfOrder: 'delivered after a later publication of the same stream, or at a position before the last one',
  lateInDoubt:
    'delivered after a later publication of the same stream; its publish was rejected with `maybeDelivered: true`',
  disagreements: 'another subscriber, or the acknowledgement, has another publication at this position',
  corrupt: 'not the published data: the checksum is wrong, or nobody published that number on the topic',
  refusedButDelivered: 'delivered, although its publish was rejected with `maybeDelivered: false`',
  reportedGaps: '`gap` events',
  reportedResets: '`reset` events',
  silentGaps: 'missing positions without a `gap` or `reset` event',
  silentResets: 'a new epoch without a `reset` or `gap` event',
  withoutPosition: 'delivered without a position',
  ended: 'subscriptions that ended by themselves',
  untracked: 'holes that exceeded the memory of the checker, so it cannot check them',
} as const;

export type FindingCount = keyof typeof findingCounts;
export type Findings = Record<FindingCount, number> & { examples: Partial<Record<FindingCount, string[]>> };

/** More examples are counted, but not shown. */
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
