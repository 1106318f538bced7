/** `subscribe`: join the topic here, make the node listen to the others, answer. */
import { emptyRun, ReplyError, type Subscribe } from '@fanfare/protocol';
import type { Caller } from './caller.js';
import type { Parts } from './parts.js';

export async function subscribe(
  { id, topic }: Subscribe,
  caller: Caller,
  { relay, limits }: Pick<Parts, 'relay' | 'limits'>,
): Promise<void> {
  if (caller.isSubscribed(topic)) {
    throw new ReplyError('alreadySubscribed', `This connection is subscribed to ${topic} already.`);
  }
  if (caller.subscriptions >= limits.maxSubscriptions) {
    throw new ReplyError('tooManySubscriptions', `A connection may hold ${limits.maxSubscriptions} subscriptions.`);
  }
  // Join before listening: what the node hears while others have it listening already is not lost (PROTOCOL.md 8.1).
  caller.join(topic);
  try {
    const position = await relay.subscribe(topic);
    if (id !== null)
      caller.reply({ type: 'subscribed', id, topic, position, recovered: false, publications: emptyRun });
  } catch (error) {
    if (caller.isSubscribed(topic)) caller.leave(topic);
    throw error;
  }
}
