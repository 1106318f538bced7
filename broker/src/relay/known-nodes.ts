/**
 * What the last heartbeats have returned: the nodes that are alive, and the time of Redis. If Redis loses its state,
 * recovery waits for the nodes that may have published recently (lua/recover.lua).
 */
import { RedisClock } from './redis-clock.js';

/**
 * A node counts as gone after this many answers in a row without it. One is not enough: Redis may have lost its list of
 * nodes.
 */
const answersUntilGone = 3;

interface KnownNode {
  /** Clock of its last heartbeat (lua/heartbeat.lua). */
  readonly seenAt: number;
  /** Answers in a row that did not name it. */
  readonly missed: number;
  readonly hasPublished: boolean;
}

export class KnownNodes {
  readonly clock = new RedisClock();
  readonly #nodes = new Map<string, KnownNode>();

  /** The number of nodes, this one included. */
  get count(): number {
    return Math.max(1, this.#nodes.size);
  }

  /** Takes an answer of Redis: ids and clocks alternately, and the ids of the nodes that have never published. */
  update(idsAndClocks: readonly unknown[], unpublished: readonly unknown[]): void {
    for (const [id, node] of this.#nodes) {
      if (node.missed === answersUntilGone) this.#nodes.delete(id);
      else this.#nodes.set(id, { ...node, missed: node.missed + 1 });
    }
    const isUnpublished = new Set(unpublished.map(String));
    for (let at = 0; at + 1 < idsAndClocks.length; at += 2) {
      const id = String(idsAndClocks[at]);
      // The answer may be older than the node's announcement.
      const hasPublished = this.#nodes.get(id)?.hasPublished === true || !isUnpublished.has(id);
      this.#nodes.set(id, { seenAt: Number(idsAndClocks[at + 1]), missed: 0, hasPublished });
    }
  }

  /** The node is about to publish for the first time. */
  markPublishing(id: string): void {
    const node = this.#nodes.get(id);
    if (node !== undefined) this.#nodes.set(id, { ...node, hasPublished: true });
  }

  /** The node has left, and has nothing to restore. */
  forget(id: string): void {
    this.#nodes.delete(id);
  }

  /**
   * For each node its id, its clock, and 1 if it has never published, else ''. lua/recover.lua takes them in this
   * order.
   */
  toArgs(): readonly (string | number)[] {
    return [...this.#nodes].flatMap(([id, { seenAt, hasPublished }]) => [id, seenAt, hasPublished ? '' : 1]);
  }
}
