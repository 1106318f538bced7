/** The nodes that this one knows of: if Redis loses its state, those that may have published lately are waited for (lua/recover.lua). */

/** After how many heartbeats in a row without it a node is believed to be gone: Redis may have lost its state, and with it the others. */
const beatsUntilGone = 3;

interface KnownNode {
  /** Clock of its last sign of life (lua/heartbeat.lua). */
  readonly sign: number;
  /** Heartbeats in a row that did not name it. */
  readonly missed: number;
}

export class KnownNodes {
  readonly #nodes = new Map<string, KnownNode>();

  /** This one included. */
  get count(): number {
    return Math.max(1, this.#nodes.size);
  }

  /** Ids and signs in turn, as Redis has them. */
  hear(idsAndSigns: readonly unknown[]): void {
    for (const [id, { sign, missed }] of this.#nodes) {
      if (missed === beatsUntilGone) this.#nodes.delete(id);
      else this.#nodes.set(id, { sign, missed: missed + 1 });
    }
    for (let at = 0; at + 1 < idsAndSigns.length; at += 2) {
      this.#nodes.set(String(idsAndSigns[at]), { sign: Number(idsAndSigns[at + 1]), missed: 0 });
    }
  }

  /** It has left, and has nothing to give back. */
  forget(id: string): void {
    this.#nodes.delete(id);
  }

  /** Ids and signs in turn, as Redis takes them. */
  toArgs(): readonly (string | number)[] {
    return [...this.#nodes].flatMap(([id, { sign }]) => [id, sign]);
  }
}
