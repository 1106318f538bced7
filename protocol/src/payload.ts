/** The data of a publication as the publisher sent it. Nodes do not interpret it. */
import type { Encoding } from './encoding.js';

/** The value in `bytes[start, end)`, in the encoding `encoding`. */
export interface Payload {
  readonly encoding: Encoding;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}
