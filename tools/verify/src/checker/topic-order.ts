/**
 * The order of a topic. The first report of a publication at a position counts: a subscriber or an acknowledgement with
 * another publication at this position disagrees. Only the newest positions are kept.
 */
import type { Position } from '@fanfare/client';

type Agreement = 'first' | 'agreed' | 'disagreed' | 'forgotten';

export class TopicOrder {
  readonly #epochs = new Map<string, number>();
  readonly #epochAt: Int32Array;
  readonly #offsetAt: Float64Array;
  readonly #streamAt: Int32Array;
  readonly #numberAt: Float64Array;

  /** `window`: the number of positions to keep. */
  constructor(window: number) {
    this.#epochAt = new Int32Array(window).fill(-1);
    this.#offsetAt = new Float64Array(window);
    this.#streamAt = new Int32Array(window);
    this.#numberAt = new Float64Array(window);
  }

  note({ epoch: epochName, offset }: Position, stream: number, n: number): Agreement {
    const epoch = this.#epochs.get(epochName) ?? this.#epochs.size;
    this.#epochs.set(epochName, epoch);
    const at = offset % this.#epochAt.length;
    const heldEpoch = this.#epochAt[at] as number;
    const heldOffset = this.#offsetAt[at] as number;
    if (heldEpoch === epoch && heldOffset === offset) {
      return this.#streamAt[at] === stream && this.#numberAt[at] === n ? 'agreed' : 'disagreed';
    }
    if (heldEpoch > epoch || (heldEpoch === epoch && heldOffset > offset)) return 'forgotten';
    this.#epochAt[at] = epoch;
    this.#offsetAt[at] = offset;
    this.#streamAt[at] = stream;
    this.#numberAt[at] = n;
    return 'first';
  }
}
