/** Positions that the application passes in, usually from its own storage. */
import { isEpoch, type Position } from '@fanfare/protocol';
import { invalidOption } from './errors.js';

/**
 * Null means no position. Throws `invalidOption` if the value cannot be a position: the node would refuse it as
 * malformed.
 */
export function checkSince(since: unknown): Position | null {
  if (since === null || since === undefined) return null;
  const { epoch, offset } = since as { epoch?: unknown; offset?: unknown };
  if (typeof epoch === 'string' && isEpoch(epoch) && Number.isSafeInteger(offset) && (offset as number) >= 0) {
    return { epoch, offset: offset as number };
  }
  const message = 'since must be the position of a publication: { epoch, offset }.';
  throw invalidOption(message);
}
