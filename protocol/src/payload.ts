/** The data of a publication as the publisher sent it. Nodes do not interpret it. */
import type { Encoding } from './encoding.js';

/** The value in `bytes[start, end)`, in the encoding `encoding`. */
export interface Payload {
  readonly encoding: Encoding;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** The data of a publication, and its key. */
export interface KeyedPayload extends Payload {
  /** What the publication is about, such as the id of an order; null if it has no key. */
  readonly key: string | null;
  /** Whether the publication removes what was published with the key; false without a key. */
  readonly remove: boolean;
}
