/** The nodes that this one knows of: if Redis loses its state, those that may have published lately are waited for (lua/recover.lua). */

/** After how many heartbeats in a row without it a node is believed to be gone: Redis may have lost its state, and with it the others. */
const beatsUntilGone = 3;

interface KnownNode {
  /** Clock of its last sign of life (lua/heartbeat.lua). */
  readonly sign: number;
  /** Heartbeats in a row that did not name it. */
  readonly missed: number;
  readonly hasPublished: boolean;
}

export class KnownNodes {
  readonly #nodes = new Map<string, KnownNode>();

  /** This one included. */
  get count(): number {
    return Math.max(1, this.#nodes.size);
  }

  /** Ids and signs in turn, and the ids of those that have never published, as Redis has them. */
  hear(idsAndSigns: readonly unknown[], unpublished: readonly unknown[]): void {
    for (const [id, node] of this.#nodes) {
      if (node.missed === beatsUntilGone) this.#nodes.delete(id);
      else this.#nodes.set(id, { ...node, missed: node.missed + 1 });
    }
    const isUnpublished = new Set(unpublished.map(String));
    for (let at = 0; at + 1 < idsAndSigns.length; at += 2) {
      const id = String(idsAndSigns[at]);
      // The answer may be older than what it has announced meanwhile.
      const hasPublished = this.#nodes.get(id)?.hasPublished === true || !isUnpublished.has(id);
      this.#nodes.set(id, { sign: Number(idsAndSigns[at + 1]), missed: 0, hasPublished });
    }
  }

  /** It is about to publish for the first time. */
  hearPublishing(id: string): void {
    const node = this.#nodes.get(id);
    if (node !== undefined) this.#nodes.set(id, { ...node, hasPublished: true });
  }

  /** It has left, and has nothing to give back. */
  forget(id: string): void {
    this.#nodes.delete(id);
  }

  /** Ids, signs, and whether it has never published, in turn, as Redis takes them. */
  toArgs(): readonly (string | number)[] {
    return [...this.#nodes].flatMap(([id, { sign, hasPublished }]) => [id, sign, hasPublished ? '' : 1]);
  }
}
