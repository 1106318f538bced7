/** `history`: one page of the publications of a topic. */
import { type History, maxHistoryLimit, ReplyError } from '@fanfare/protocol';
import type { Caller } from './caller.js';
import type { Parts } from './parts.js';

/** Publications of a page if the client gives no limit (PROTOCOL.md section 7). */
export const defaultHistoryLimit = 100;

/**
 * Histories that may be read for one connection at the same time (PROTOCOL.md section 7). Redis sends up to 256 KiB for
 * each.
 */
export const maxHistories = 8;

export async function history(
  { id, topic, since, limit, direction }: History,
  caller: Caller,
  { relay }: Pick<Parts, 'relay'>,
): Promise<void> {
  // Checked before and after: other replies may fill the connection meanwhile.
  refuseIfFull(caller);
  const request = {
    since,
    limit: Math.min(limit ?? defaultHistoryLimit, maxHistoryLimit),
    direction: direction ?? 'forward',
  } as const;
  const page = await caller.trackHistory(relay.history(topic, request));
  refuseIfFull(caller);
  caller.reply({ type: 'history', id, topic, ...page, direction: request.direction });
}

function refuseIfFull({ room, histories }: Caller): void {
  if (room > 0 && histories < maxHistories) return;
  throw new ReplyError('overloaded', 'Too much unread history on this connection. Read it, then retry.');
}
