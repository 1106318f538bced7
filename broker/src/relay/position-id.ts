/** Positions as Redis writes them: the id of a stream entry, `<epoch>-<offset>`. */
import type { Position } from '@fanfare/protocol';

/** Null if the text is not such an id. */
export function parsePosition(id: string): Position | null {
  const dash = id.indexOf('-');
  if (dash < 1) return null;
  const offset = Number(id.slice(dash + 1));
  return Number.isSafeInteger(offset) && offset >= 0 ? { epoch: id.slice(0, dash), offset } : null;
}
