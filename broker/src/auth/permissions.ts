/** The permissions of a token: actions on topics. A topic that no pattern matches is not permitted. */
import type { Topic } from '@fanfare/protocol';
import { explainUnknown } from '../files/nearest.js';
import { explainInvalidPattern, PatternTree } from '../topics/pattern-tree.js';

export const actions = ['publish', 'subscribe', 'history'] as const;
export type Action = (typeof actions)[number];

/** What a token may name. `presence` is kept for a later version, and permits nothing yet (PROTOCOL.md section 3). */
const names = ['publish', 'subscribe', 'presence', 'history'] as const;
type Name = (typeof names)[number];

/** Patterns of topics for each action. */
export type Grants = { readonly [N in Name]?: readonly string[] | undefined };

/** Maximum number of patterns in a token. */
export const maxPatterns = 1_000;

/** Topics whose permissions are cached for a token. Beyond that, the cache is cleared. */
export const maxCachedTopics = 256;

export class Permissions {
  readonly #patterns: { readonly [A in Action]: PatternTree<true> };
  /** For each cached topic the permitted actions, one bit for each. */
  #cache: Map<Topic, number> | null = null;

  /** All patterns must be valid: see {@link readGrants}. `maxCached`: for how many topics permissions are cached. */
  constructor(
    grants: Grants,
    private readonly maxCached = maxCachedTopics,
  ) {
    const treeOf = (patterns: readonly string[] = []): PatternTree<true> => {
      const tree = new PatternTree<true>();
      for (const pattern of patterns) tree.set(pattern, true);
      return tree;
    };
    this.#patterns = {
      publish: treeOf(grants.publish),
      subscribe: treeOf(grants.subscribe),
      // A client that may subscribe gets the history anyway, by `since`.
      history: treeOf([...(grants.history ?? []), ...(grants.subscribe ?? [])]),
    };
  }

  /** For how many topics permissions are cached now. */
  get cachedTopics(): number {
    return this.#cache?.size ?? 0;
  }

  allows(action: Action, topic: Topic): boolean {
    const bit = 1 << actions.indexOf(action);
    const known = this.#cache?.get(topic) ?? 0;
    if ((known & bit) !== 0) return true;
    // Refusals are not cached: rate limits slow down clients that repeat them.
    if (this.#patterns[action].mostSpecific(topic) !== true) return false;
    this.#cache ??= new Map();
    // Clients choose topics, so the cache must not grow without limit.
    if (known === 0 && this.#cache.size >= this.maxCached) this.#cache.clear();
    this.#cache.set(topic, known | bit);
    return true;
  }
}

/**
 * Reads grants of a token or of the configuration. `report` receives one sentence for each mistake, which repeats
 * nothing of the value.
 */
export function readGrants(value: unknown, report: (mistake: string) => void): Grants {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    report('must be an object such as {"subscribe":["chat.>"]}.');
    return {};
  }
  const grants: { [N in Name]?: readonly string[] } = {};
  let patterns = 0;
  for (const [index, [name, list]] of Object.entries(value).entries()) {
    const action = names.find((known) => known === name);
    if (action === undefined) {
      report(`action ${index + 1} is unknown; ${explainUnknown(name, names)}`);
    } else if (!Array.isArray(list) || !list.every((pattern) => typeof pattern === 'string')) {
      report(`${action} must be a list of patterns such as ["chat.>"].`);
    } else {
      patterns += list.length;
      for (const [place, pattern] of list.entries()) {
        const rule = explainInvalidPattern(pattern);
        if (rule !== null) report(`pattern ${place + 1} of ${action} ${rule}.`);
      }
      grants[action] = list;
    }
  }
  if (patterns > maxPatterns) report(`${patterns} patterns exceed the maximum of ${maxPatterns}.`);
  return grants;
}
