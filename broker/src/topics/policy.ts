/** What each topic promises and keeps: policies that the configuration gives to patterns of topics. */
import { maxTopicBytes, maxTopicSegments, type Topic } from '@fanfare/protocol';

/** From the least promise to the greatest. */
export const levels = ['fast', 'recoverable', 'durable'] as const;
/** What a topic promises (docs/guarantees.md). */
export type Level = (typeof levels)[number];

export interface TopicPolicy {
  readonly level: Level;
  /** Publications kept for those who come back: at least so many, a few more may be there. Not for level fast. */
  readonly historySize: number;
  /**
   * How long the history of a topic outlives its last publication (while nobody subscribes), in seconds; then it begins anew
   * with another epoch. Not for level fast.
   */
  readonly historyAgeSeconds: number;
  /** Whether a new subscriber (one without `since`) gets the last publication at once. Not for level fast. */
  readonly lastValue: boolean;
}

/** Histories live at least so long: nodes look after those of topics with subscribers every 20 s (relay/lines.ts). */
const leastLifeMs = 60_000;

/** How long a topic's history lives on from its last publication, or the last look of a node with subscribers, in milliseconds. */
export function lifeMs({ historyAgeSeconds }: Pick<TopicPolicy, 'historyAgeSeconds'>): number {
  return Math.max(historyAgeSeconds * 1_000, leastLifeMs);
}

/** The policy of a topic that no pattern matches, and of each field that a pattern leaves out. */
export const defaultPolicy: TopicPolicy = Object.freeze({
  level: 'recoverable',
  historySize: 500,
  historyAgeSeconds: 600,
  lastValue: false,
});

/** Of so many topics the policy is remembered. One more, and all are forgotten and looked up anew. */
export const maxRememberedTopics = 10_000;

/** The patterns as a tree of segments: "*" and ">" are keys like the others, because no segment of a topic is one of them. */
interface Branch {
  readonly next: Map<string, Branch>;
  /** Of the pattern that ends here. */
  policy: TopicPolicy | null;
}

/**
 * The policy of each topic. A pattern is segments joined by "."; `*` stands for exactly one segment and `>`, only last, for one or
 * more. Of several patterns that match, the most specific one holds, whatever their order: from the left, the first segment in
 * which they differ decides, a literal before `*` before `>`.
 */
export class TopicPolicies {
  readonly #root: Branch = { next: new Map(), policy: null };
  readonly #remembered = new Map<Topic, TopicPolicy>();
  readonly #levels = new Set<Level>([defaultPolicy.level]);

  /** The patterns are valid ({@link explainInvalidPattern}). What a policy leaves out has its default; of the same pattern twice the last holds. */
  constructor(policies: Iterable<readonly [pattern: string, policy: Partial<TopicPolicy>]> = []) {
    for (const [pattern, policy] of policies) {
      let branch = this.#root;
      for (const segment of pattern.split('.')) {
        const next = branch.next.get(segment) ?? { next: new Map(), policy: null };
        branch.next.set(segment, next);
        branch = next;
      }
      branch.policy = Object.freeze({ ...defaultPolicy, ...policy });
      this.#levels.add(branch.policy.level);
    }
  }

  /** Always the same object for topics of the same pattern. */
  of(topic: Topic): TopicPolicy {
    if (this.#root.next.size === 0) return defaultPolicy;
    const remembered = this.#remembered.get(topic);
    if (remembered !== undefined) return remembered;
    const policy = mostSpecific(this.#root, topic.split('.'), 0) ?? defaultPolicy;
    // Clients choose topics: a table that only grows would be theirs to fill.
    if (this.#remembered.size >= maxRememberedTopics) this.#remembered.clear();
    this.#remembered.set(topic, policy);
    return policy;
  }

  /** Whether any topic can be of this level. */
  uses(level: Level): boolean {
    return this.#levels.has(level);
  }

  /** Of how many topics the policy is remembered now: at most {@link maxRememberedTopics}. */
  get rememberedTopics(): number {
    return this.#remembered.size;
  }
}

/** The most specific pattern is the one met first: the literal segment is tried before `*`, and `>` where both lead nowhere. */
function mostSpecific(branch: Branch, segments: readonly string[], at: number): TopicPolicy | null {
  const segment = segments[at];
  if (segment === undefined) return branch.policy;
  for (const key of [segment, '*']) {
    const next = branch.next.get(key);
    const policy = next === undefined ? null : mostSpecific(next, segments, at + 1);
    if (policy !== null) return policy;
  }
  return branch.next.get('>')?.policy ?? null;
}

/** The rule that a pattern breaks, to go on from 'the pattern "…", which', or null where it breaks none. */
export function explainInvalidPattern(pattern: string): string | null {
  const segments = pattern.split('.');
  if (pattern === '') return 'is empty';
  if (pattern.length > maxTopicBytes) return `is longer than ${maxTopicBytes} bytes`;
  if (segments.length > maxTopicSegments) return `has more than ${maxTopicSegments} segments`;
  if (segments.includes('')) return 'has an empty segment';
  if (segments.some((segment) => segment.length > 1 && /[*>]/.test(segment))) {
    return 'has a "*" or ">" beside other characters; each must be a segment of its own';
  }
  if (segments.slice(0, -1).includes('>')) return 'has a ">" that is not its last segment';
  if (/[^A-Za-z0-9_.*>-]/.test(pattern)) {
    return 'has a character outside A-Z a-z 0-9 _ - * > and the "." between segments';
  }
  return null;
}
