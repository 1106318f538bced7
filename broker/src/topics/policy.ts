/** What each topic promises and keeps: policies that the configuration gives to patterns of topics. */
import type { Topic } from '@fanfare/protocol';
import { PatternTree } from './pattern-tree.js';

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
  /** Whether a new subscriber (without `since`) gets the last publication at once. Not for level fast. */
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

/**
 * The policy of each topic: that of the most specific pattern that matches it.
 */
export class TopicPolicies {
  readonly #patterns = new PatternTree<TopicPolicy>();
  readonly #remembered = new Map<Topic, TopicPolicy>();
  readonly #levels = new Set<Level>([defaultPolicy.level]);

  /** The patterns are valid. What a policy leaves out has its default; of the same pattern twice the last holds. */
  constructor(policies: Iterable<readonly [pattern: string, policy: Partial<TopicPolicy>]> = []) {
    for (const [pattern, policy] of policies) {
      const whole = Object.freeze({ ...defaultPolicy, ...policy });
      this.#patterns.set(pattern, whole);
      this.#levels.add(whole.level);
    }
  }

  /** Always the same object for topics of the same pattern. */
  of(topic: Topic): TopicPolicy {
    if (this.#patterns.isEmpty) return defaultPolicy;
    const remembered = this.#remembered.get(topic);
    if (remembered !== undefined) return remembered;
    const policy = this.#patterns.mostSpecific(topic) ?? defaultPolicy;
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
