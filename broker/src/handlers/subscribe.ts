/** `subscribe`: join the topic here, make the node listen to the others, answer with where it stands and what was missed. */
import { ReplyError, type Subscribe } from '@fanfare/protocol';
import type { Caller } from './caller.js';
import type { Parts } from './parts.js';

export async function subscribe(
  { id, topic, since }: Subscribe,
  caller: Caller,
  { relay, limits }: Pick<Parts, 'relay' | 'limits'>,
): Promise<void> {
  if (caller.isSubscribed(topic)) {
    throw new ReplyError('alreadySubscribed', `This connection is already subscribed to ${topic}.`);
  }
  if (caller.subscriptions >= limits.maxSubscriptions) {
    throw new ReplyError(
      'tooManySubscriptions',
      `A connection can have at most ${limits.maxSubscriptions} subscriptions.`,
    );
  }
  const membership = caller.join(topic);
  try {
    await relay.subscribe(topic, since);
  } catch (error) {
    if (membership.isCurrent) {
      caller.leave(topic);
      throw error;
    }
  }
  // It was left meanwhile, and perhaps joined anew: then that answers for itself.
  if (!membership.isCurrent)
    throw new ReplyError('notSubscribed', `This connection unsubscribed from ${topic} before the reply.`);
  // From here on nothing is awaited: what stands in the reply and what is delivered after it fit without hole or overlap.
  const standing = relay.standing(topic, since);
  // Without its publications if there is no room for them: the client then reads them in pieces (PROTOCOL.md section 7).
  if (id !== null) caller.reply({ type: 'subscribed', id, topic, ...standing });
  caller.attend(topic);
}
