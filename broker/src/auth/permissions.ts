/** What a token grants: actions on topics. What no pattern matches is not granted. */
import type { Topic } from '@fanfare/protocol';
import { explainUnknown } from '../files/nearest.js';
import { explainInvalidPattern, PatternTree } from '../topics/pattern-tree.js';

export const actions = ['publish', 'subscribe', 'presence', 'history'] as const;
export type Action = (typeof actions)[number];

/** Patterns of topics for each action. */
export type Grants = { readonly [A in Action]?: readonly string[] | undefined };

/** Most patterns that a token may hold. */
export const maxPatterns = 1_000;

/** Of so many topics the answers are remembered. One more, and all are forgotten and looked up anew. */
export const maxRememberedTopics = 256;

export class Permissions {
  readonly #patterns: { readonly [A in Action]: PatternTree<true> };
  readonly #maxRemembered: number;
  /** For each topic the actions that are known to be granted, a bit for each. */
  #remembered: Map<Topic, number> | null = null;

  /** All patterns are valid: {@link readGrants}. `maxRemembered`: of how many topics what is granted is remembered. */
  constructor(grants: Grants, maxRemembered = maxRememberedTopics) {
    this.#maxRemembered = maxRemembered;
    const treeOf = (patterns: readonly string[] = []): PatternTree<true> => {
      const tree = new PatternTree<true>();
      for (const pattern of patterns) tree.set(pattern, true);
      return tree;
    };
    this.#patterns = {
      publish: treeOf(grants.publish),
      subscribe: treeOf(grants.subscribe),
      presence: treeOf(grants.presence),
      // A client that may subscribe gets the history anyway, by `since`.
      history: treeOf([...(grants.history ?? []), ...(grants.subscribe ?? [])]),
    };
  }

  /** Of how many topics the answers are remembered now: at most {@link maxRememberedTopics}. */
  get rememberedTopics(): number {
    return this.#remembered?.size ?? 0;
  }

  allows(action: Action, topic: Topic): boolean {
    const bit = 1 << actions.indexOf(action);
    const known = this.#remembered?.get(topic) ?? 0;
    if ((known & bit) !== 0) return true;
    // What is refused is not remembered: who asks for it often is slowed down otherwise.
    if (this.#patterns[action].mostSpecific(topic) !== true) return false;
    this.#remembered ??= new Map();
    // Clients choose topics: a table that only grows would be theirs to fill.
    if (known === 0 && this.#remembered.size >= this.#maxRemembered) this.#remembered.clear();
    this.#remembered.set(topic, known | bit);
    return true;
  }
}

/**
 * Reads grants as a token or the configuration has them. `tell` hears one sentence for each mistake, which begins with what is wrong and repeats
 * nothing of it.
 */
export function readGrants(value: unknown, tell: (wrong: string) => void): Grants {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    tell('must be an object such as {"subscribe":["chat.>"]}.');
    return {};
  }
  const grants: { [A in Action]?: readonly string[] } = {};
  let patterns = 0;
  for (const [index, [name, list]] of Object.entries(value).entries()) {
    const action = actions.find((known) => known === name);
    if (action === undefined) {
      tell(`action ${index + 1} is unknown; ${explainUnknown(name, actions)}`);
    } else if (!Array.isArray(list) || !list.every((pattern) => typeof pattern === 'string')) {
      tell(`${action} must be a list of patterns such as ["chat.>"].`);
    } else {
      patterns += list.length;
      for (const [place, pattern] of list.entries()) {
        const rule = explainInvalidPattern(pattern);
        if (rule !== null) tell(`pattern ${place + 1} of ${action} ${rule}.`);
      }
      grants[action] = list;
    }
  }
  if (patterns > maxPatterns) tell(`${patterns} patterns exceed the maximum of ${maxPatterns}.`);
  return grants;
}
