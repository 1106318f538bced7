/** For protocols whose units may be split anywhere by TCP, or by the WebSocket messages that carry them. */
import type { Reader } from './protocol.js';

/** Length of the unit at `start`; null if too few of its bytes have arrived. */
export type Measure = (bytes: Uint8Array, start: number, end: number) => number | null;

/** A reader for one connection that calls `take` with each whole unit, in place. */
export function readUnits(measure: Measure, take: Reader): Reader {
  /** The beginning of a unit whose end has not come yet. */
  let rest: Uint8Array | null = null;
  return (chunk, chunkStart, chunkEnd) => {
    let [bytes, at, end] = [chunk, chunkStart, chunkEnd];
    if (rest !== null) {
      bytes = Buffer.concat([rest, chunk.subarray(chunkStart, chunkEnd)]);
      [at, end] = [0, bytes.length];
      rest = null;
    }
    while (at < end) {
      const length = measure(bytes, at, end);
      if (length === null || at + length > end) break;
      take(bytes, at, at + length);
      at += length;
    }
    // A copy: the bytes are the read buffer's.
    if (at < end) rest = new Uint8Array(bytes.subarray(at, end));
  };
}
