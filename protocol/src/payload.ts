/** What a publisher sent: opaque to the nodes. */
import type { Encoding } from './encoding.js';

/** The value that stands in `bytes[start, end)`, encoded as `encoding` says. */
export interface Payload {
  readonly encoding: Encoding;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}
