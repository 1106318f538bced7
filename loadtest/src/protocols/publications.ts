/** Finds publications in the bytes that a server sends, by their stamps. It works for every protocol. */
import { findStamp, stampBytes } from '@fanfare/kit/stamp';
import type { OnPublication } from './protocol.js';

/** Returns whether there are any. */
export function takePublications(bytes: Uint8Array, start: number, end: number, onPublication: OnPublication): boolean {
  let found = false;
  for (let at = findStamp(bytes, start, end); at >= 0; at = findStamp(bytes, at + stampBytes, end)) {
    onPublication(bytes, at);
    found = true;
  }
  return found;
}
