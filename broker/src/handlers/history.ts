/** `history`: a page of what was published to a topic. */
import { type History, maxHistoryLimit } from '@fanfare/protocol';
import type { Caller } from './caller.js';
import type { Parts } from './parts.js';

/** Publications of an answer where the client does not say how many it wants (PROTOCOL.md section 7). */
const defaultLimit = 100;

export async function history(
  { id, topic, since, limit, direction }: History,
  caller: Caller,
  { relay }: Pick<Parts, 'relay'>,
): Promise<void> {
  const page = await relay.history(topic, {
    since,
    limit: Math.min(limit ?? defaultLimit, maxHistoryLimit),
    direction: direction ?? 'forward',
  });
  caller.reply({ type: 'history', id, topic, ...page });
}
