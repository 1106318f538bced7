/** What a handler needs of the connection that a command came on. */
import type { OutgoingReply, Topic } from '@fanfare/protocol';

export interface Caller {
  /** How many topics the connection is subscribed to. */
  readonly subscriptions: number;
  isSubscribed(topic: Topic): boolean;
  /** From now on the connection gets what is delivered of the topic on this node. */
  join(topic: Topic): void;
  leave(topic: Topic): void;
  /** Answers a command. Where the connection is closed by now, nothing happens. */
  reply(reply: OutgoingReply): void;
}
