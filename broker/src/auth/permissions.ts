/** What a token grants: actions on topics. What no pattern matches is not granted. */
import type { Topic } from '@fanfare/protocol';
import { explainInvalidPattern, PatternTree } from '../topics/pattern-tree.js';

export const actions = ['publish', 'subscribe', 'presence', 'history'] as const;
export type Action = (typeof actions)[number];

/** Patterns of topics for each action. */
export type Grants = { readonly [A in Action]?: readonly string[] | undefined };

/** Most patterns that a token may hold. */
export const maxPatterns = 1_000;

/** Of so many topics the answers are remembered. One more, and all are forgotten and looked up anew. */
const maxRememberedTopics = 1_000;

export class Permissions {
  readonly #patterns: { readonly [A in Action]: PatternTree<true> };
  /** For each topic two bits for each action: whether it was looked up, and whether it is granted. */
  #remembered: Map<Topic, number> | null = null;

  /** All patterns are valid: {@link readGrants}. */
  constructor(grants: Grants) {
    const treeOf = (patterns: readonly string[] = []): PatternTree<true> => {
      const tree = new PatternTree<true>();
      for (const pattern of patterns) tree.set(pattern, true);
      return tree;
    };
    this.#patterns = {
      publish: treeOf(grants.publish),
      subscribe: treeOf(grants.subscribe),
      presence: treeOf(grants.presence),
      history: treeOf(grants.history),
    };
  }

  allows(action: Action, topic: Topic): boolean {
    const at = actions.indexOf(action) * 2;
    const known = this.#remembered?.get(topic) ?? 0;
    if ((known & (1 << at)) !== 0) return (known & (2 << at)) !== 0;
    const isGranted = this.#patterns[action].mostSpecific(topic) === true;
    this.#remembered ??= new Map();
    // Clients choose topics: a table that only grows would be theirs to fill.
    if (this.#remembered.size >= maxRememberedTopics) this.#remembered.clear();
    this.#remembered.set(topic, (this.#remembered.get(topic) ?? 0) | ((isGranted ? 3 : 1) << at));
    return isGranted;
  }
}

/** Reads grants as a token or the configuration has them. `tell` hears one sentence for each mistake, which begins with what is wrong. */
export function readGrants(value: unknown, tell: (wrong: string) => void): Grants {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    tell('they must be an object such as {"subscribe":["chat.>"]}.');
    return {};
  }
  const grants: { [A in Action]?: readonly string[] } = {};
  let patterns = 0;
  for (const [name, list] of Object.entries(value)) {
    const action = actions.find((known) => known === name);
    if (action === undefined) {
      tell(`${shown(name)} is no action; those there are: ${actions.join(', ')}.`);
    } else if (!Array.isArray(list) || !list.every((pattern) => typeof pattern === 'string')) {
      tell(`${action} must be a list of patterns such as ["chat.>"].`);
    } else {
      patterns += list.length;
      for (const pattern of list) {
        const rule = explainInvalidPattern(pattern);
        if (rule !== null) tell(`${action} has the pattern ${shown(pattern)}, which ${rule}.`);
      }
      grants[action] = list;
    }
  }
  if (patterns > maxPatterns) tell(`they have ${patterns} patterns; at most ${maxPatterns} are taken.`);
  return grants;
}

/** A text from a token, as it may stand in a sentence. */
function shown(text: string): string {
  const json = JSON.stringify(text);
  return json.length <= 80 ? json : `${json.slice(0, 79)}…`;
}
