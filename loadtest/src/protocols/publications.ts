/** The publications in what a server sends, whatever it wraps them in: they are found by their stamps. */
import { findStamp, stampBytes } from '@fanfare/kit/stamp';
import type { OnPublication } from './protocol.js';

export function takePublications(bytes: Uint8Array, start: number, end: number, onPublication: OnPublication): void {
  for (let at = findStamp(bytes, start, end); at >= 0; at = findStamp(bytes, at + stampBytes, end)) {
    onPublication(bytes, at);
  }
}
