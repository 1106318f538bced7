/** `history`: a page of what was published to a topic. */
import { type History, maxHistoryLimit, ReplyError } from '@fanfare/protocol';
import type { Caller } from './caller.js';
import type { Parts } from './parts.js';

/** Publications of an answer where the client does not say how many it wants (PROTOCOL.md section 7). */
const defaultLimit = 100;

/** Histories that may be read for one connection at the same time (PROTOCOL.md section 7): each is up to 256 KiB that Redis sends. */
export const maxHistories = 8;

export async function history(
  { id, topic, since, limit, direction }: History,
  caller: Caller,
  { relay }: Pick<Parts, 'relay'>,
): Promise<void> {
  // Before and after: what others ask for meanwhile fills the connection too.
  refuseIfFull(caller);
  const request = {
    since,
    limit: Math.min(limit ?? defaultLimit, maxHistoryLimit),
    direction: direction ?? 'forward',
  } as const;
  caller.histories++;
  const page = await relay.history(topic, request).finally(() => caller.histories--);
  refuseIfFull(caller);
  caller.reply({ type: 'history', id, topic, ...page, direction: request.direction });
}

function refuseIfFull({ room, histories }: Caller): void {
  if (room > 0 && histories < maxHistories) return;
  throw new ReplyError('overloaded', 'Too much unread history on this connection. Read it, then retry.');
}
