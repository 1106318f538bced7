/** `history`: a page of what was published to a topic. */
import { type History, maxHistoryLimit, ReplyError } from '@fanfare/protocol';
import type { Caller } from './caller.js';
import type { Parts } from './parts.js';

/** Publications of an answer where the client does not say how many it wants (PROTOCOL.md section 7). */
const defaultLimit = 100;

export async function history(
  { id, topic, since, limit, direction }: History,
  caller: Caller,
  { relay }: Pick<Parts, 'relay'>,
): Promise<void> {
  // Before and after: what others ask for meanwhile fills the connection too.
  refuseIfFull(caller);
  const page = await relay.history(topic, {
    since,
    limit: Math.min(limit ?? defaultLimit, maxHistoryLimit),
    direction: direction ?? 'forward',
  });
  refuseIfFull(caller);
  caller.reply({ type: 'history', id, topic, ...page });
}

function refuseIfFull({ room }: Caller): void {
  if (room > 0) return;
  throw new ReplyError('overloaded', 'Too much is unread on this connection: read it, then ask again.');
}
