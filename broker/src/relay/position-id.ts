/** Positions as Redis writes them: the id of a stream entry, `<epoch>-<offset>`. */
import type { Position } from '@fanfare/protocol';

/** Null if the text is not such an id. */
export function parsePosition(id: string): Position | null {
  const dash = id.indexOf('-');
  if (dash < 1) return null;
  const offset = Number(id.slice(dash + 1));
  return Number.isSafeInteger(offset) && offset >= 0 ? { epoch: id.slice(0, dash), offset } : null;
}

/** Whether a topic at `here` has not reached a position. Later epochs are greater (lua/stream.lua). */
export function isAhead(position: Position | null, here: Position): boolean {
  if (position === null) return false;
  return position.epoch > here.epoch || (position.epoch === here.epoch && position.offset > here.offset);
}

const dash = 0x2d;
const zero = 0x30;

/**
 * Like {@link parsePosition}, for the ASCII text `bytes[start, end)`. `likelyEpoch`: if the position has this epoch, as
 * nearly all positions of a topic do, no text is made.
 */
export function readPosition(bytes: Buffer, start: number, end: number, likelyEpoch: string): Position | null {
  let offset = 0;
  let at = start;
  while (at < end && bytes[at] !== dash) at++;
  const epochEnd = at++;
  if (epochEnd === start || at >= end) return null;
  for (; at < end; at++) {
    const digit = (bytes[at] as number) - zero;
    if (digit < 0 || digit > 9) return null;
    offset = offset * 10 + digit;
  }
  if (!Number.isSafeInteger(offset)) return null;
  const isLikely = epochEnd - start === likelyEpoch.length && isAt(bytes, start, likelyEpoch);
  return { epoch: isLikely ? likelyEpoch : bytes.toString('latin1', start, epochEnd), offset };
}

function isAt(bytes: Buffer, start: number, text: string): boolean {
  for (let index = 0; index < text.length; index++) if (bytes[start + index] !== text.charCodeAt(index)) return false;
  return true;
}
