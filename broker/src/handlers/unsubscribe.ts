/** `unsubscribe`: leaves the topic. */
import { ReplyError, type Unsubscribe } from '@fanfare/protocol';
import type { Caller } from './caller.js';

export function unsubscribe({ id, topic }: Unsubscribe, caller: Caller): void {
  if (!caller.isSubscribed(topic)) {
    throw new ReplyError('notSubscribed', `This connection is not subscribed to ${topic}.`);
  }
  caller.leave(topic);
  if (id !== null) caller.reply({ type: 'unsubscribed', id, topic, code: null, message: null });
}
