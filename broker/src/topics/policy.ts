/** What each topic promises and keeps: policies that the configuration gives to patterns of topics. */
import type { Topic } from '@fanfare/protocol';
import { PatternTree } from './pattern-tree.js';

/** From the weakest promise to the strongest. */
export const levels = ['fast', 'recoverable', 'durable'] as const;
/** What a topic promises (docs/guarantees.md). */
export type Level = (typeof levels)[number];

export interface TopicPolicy {
  readonly level: Level;
  /** Publications kept for subscribers that return: at least this many, perhaps a few more. Not for level fast. */
  readonly historySize: number;
  /**
   * How long the history of a topic outlives its last publication (while nobody subscribes), in seconds. After that
   * another history begins, with another epoch. Not for level fast.
   */
  readonly historyAgeSeconds: number;
  /** Whether a new subscriber (without `since`) gets the last publication at once. Not for level fast. */
  readonly lastValue: boolean;
}

/**
 * Shortest life of a history. Every 20 s, nodes extend the life of histories with subscribers (relay/topic-feeds.ts).
 */
const leastLifeMs = 60_000;

/**
 * When a topic's history expires, counted from its last publication or the last check of a node with subscribers, in
 * milliseconds.
 */
export function lifeMs({ historyAgeSeconds }: Pick<TopicPolicy, 'historyAgeSeconds'>): number {
  return Math.max(historyAgeSeconds * 1_000, leastLifeMs);
}

/** The policy of a topic that no pattern matches, and the default of each field that a pattern omits. */
export const defaultPolicy: TopicPolicy = Object.freeze({
  level: 'recoverable',
  historySize: 500,
  historyAgeSeconds: 600,
  lastValue: false,
});

/** The maximum number of topics whose policy is remembered. One more clears all of them. */
export const maxRememberedTopics = 10_000;

/**
 * The policy of each topic: the policy of the most specific pattern that matches it.
 */
export class TopicPolicies {
  readonly #patterns = new PatternTree<TopicPolicy>();
  readonly #remembered = new Map<Topic, TopicPolicy>();
  readonly #levels = new Set<Level>([defaultPolicy.level]);

  /**
   * The patterns are valid. Fields that a policy omits have their defaults; if a pattern occurs twice, the last policy
   * applies.
   */
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
    // Clients choose topics: they could fill a table that only grows.
    if (this.#remembered.size >= maxRememberedTopics) this.#remembered.clear();
    this.#remembered.set(topic, policy);
    return policy;
  }

  /** Whether any topic can be of this level. */
  uses(level: Level): boolean {
    return this.#levels.has(level);
  }

  /** Topics whose policy is remembered now: at most {@link maxRememberedTopics}. */
  get rememberedTopics(): number {
    return this.#remembered.size;
  }
}
