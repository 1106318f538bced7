/** What a publisher sent: opaque to the nodes. */
import type { Encoding } from './encoding.js';

/** The value in `bytes[start, end)`, in the encoding `encoding`. */
export interface Payload {
  readonly encoding: Encoding;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}
