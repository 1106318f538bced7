/** `subscribe`: joins the topic, and replies with its position and the publications that the client missed. */
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
  const subscription = caller.join(topic, since);
  try {
    await subscription.ready;
  } catch (error) {
    if (subscription.isCurrent) {
      caller.leave(topic);
      throw error;
    }
  }
  // The connection left the topic meanwhile. If it joined again, that command gets its own reply.
  if (!subscription.isCurrent)
    throw new ReplyError('notSubscribed', `This connection unsubscribed from ${topic} before the reply.`);
  // Nothing is awaited from here on, so that deliveries follow the reply without gap or overlap.
  const result = relay.subscribeResult(topic, since);
  // If there is no room, the reply goes without publications, and the client reads them in pages (PROTOCOL.md section
  // 7).
  if (id !== null) caller.reply({ type: 'subscribed', id, topic, ...result });
  caller.attend(topic);
}
