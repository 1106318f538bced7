/** Patterns of topics, used by policies and permissions. */
import { maxTopicBytes, maxTopicSegments, type Topic } from '@fanfare/protocol';

/** A tree of segments. "*" and ">" are keys like the others, because no segment of a topic is one of them. */
interface Branch<Value> {
  readonly next: Map<string, Branch<Value>>;
  /** The value of the pattern that ends here. */
  value: Value | null;
}

/**
 * A value for each pattern. A pattern is segments joined by "."; `*` stands for exactly one segment and `>`, only last,
 * for one or more.
 */
export class PatternTree<Value> {
  readonly #root: Branch<Value> = { next: new Map(), value: null };

  get isEmpty(): boolean {
    return this.#root.next.size === 0;
  }

  /** The pattern is valid ({@link explainInvalidPattern}). If it is set twice, the last value applies. */
  set(pattern: string, value: Value): void {
    let branch = this.#root;
    for (const segment of pattern.split('.')) {
      const next: Branch<Value> = branch.next.get(segment) ?? { next: new Map(), value: null };
      branch.next.set(segment, next);
      branch = next;
    }
    branch.value = value;
  }

  /**
   * The value of the most specific pattern that matches, whatever their order; null if none does. From the left, the
   * first segment in which patterns differ decides, a literal before `*` before `>`.
   */
  mostSpecific(topic: Topic): Value | null {
    return mostSpecific(this.#root, topic.split('.'), 0);
  }
}

/**
 * The most specific pattern is the one met first: the literal segment is tried before `*`, and `>` if neither matches.
 */
function mostSpecific<Value>(branch: Branch<Value>, segments: readonly string[], at: number): Value | null {
  const segment = segments[at];
  if (segment === undefined) return branch.value;
  for (const key of [segment, '*']) {
    const next = branch.next.get(key);
    const value = next === undefined ? null : mostSpecific(next, segments, at + 1);
    if (value !== null) return value;
  }
  return branch.next.get('>')?.value ?? null;
}

/** The rule that a pattern breaks, to follow 'the pattern "…", which', or null if it breaks none. */
export function explainInvalidPattern(pattern: string): string | null {
  const segments = pattern.split('.');
  if (pattern === '') return 'is empty';
  if (pattern.length > maxTopicBytes) return `is longer than ${maxTopicBytes} bytes`;
  if (segments.length > maxTopicSegments) return `has more than ${maxTopicSegments} segments`;
  if (segments.includes('')) return 'has an empty segment';
  if (segments.some((segment) => segment.length > 1 && /[*>]/.test(segment))) {
    return 'has a "*" or ">" next to other characters; each must be a whole segment';
  }
  if (segments.slice(0, -1).includes('>')) return 'has a ">" that is not its last segment';
  if (/[^A-Za-z0-9_.*>-]/.test(pattern)) {
    return 'has a character outside A-Z a-z 0-9 _ - * > and the "." between segments';
  }
  return null;
}
