/** Positions that the application gives: from its own store, as a rule. */
import { isEpoch, type Position } from '@fanfare/protocol';
import { FanfareError } from './errors.js';

/** Null is as good as nothing. Throws `invalidOption` for what no node has given: it would be malformed. */
export function checkSince(since: unknown): Position | null {
  if (since === null || since === undefined) return null;
  const { epoch, offset } = since as { epoch?: unknown; offset?: unknown };
  if (typeof epoch === 'string' && isEpoch(epoch) && Number.isSafeInteger(offset) && (offset as number) >= 0) {
    return { epoch, offset: offset as number };
  }
  const message = 'since must be a position as publications have it: { epoch, offset }.';
  throw new FanfareError('invalidOption', { message });
}
