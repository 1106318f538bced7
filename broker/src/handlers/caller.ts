/** What a handler needs of the connection that a command came on. */
import type { OutgoingReply, Topic } from '@fanfare/protocol';
import type { Action } from '../auth/permissions.js';
import type { Payer } from '../relay/relay.js';
import type { IdScope } from '../relay/scoped-id.js';
import type { Turns } from './turns.js';

/** One joining of a topic by a connection. */
export interface Membership {
  /** Whether the connection has not left the topic since, nor is closed. */
  readonly isCurrent: boolean;
}

export interface Caller {
  /** For the log: the name of the connection and its subject; null if nobody is asked for a token, or none was accepted yet. */
  whoIs(): { readonly connection: string | null; readonly subject: string | null };
  /** How many topics the connection is subscribed to. */
  readonly subscriptions: number;
  /** Bytes that a reply may have now without bringing the connection near its limit of unread ones. */
  readonly room: number;
  /** Histories that are being read for it. */
  histories: number;
  /** Who pays for the topics that it begins and the publications that it reads; null if they are not counted. */
  readonly payer: Payer | null;
  /** Null as long as no publication of it was refused. */
  turns: Turns | null;
  /** Of the messageIds of its publications. */
  readonly idScope: IdScope;
  /** How long the token is good for, in milliseconds; null where it does not expire, or none was needed. */
  readonly expiresInMs: number | null;
  /** Whether the token permits it; everything is permitted where none is needed. */
  allows(action: Action, topic: Topic): boolean;
  /** Puts another token in the place of the one before; rejects with ReplyError where it is not accepted. */
  refresh(token: string): Promise<void>;
  isSubscribed(topic: Topic): boolean;
  /** The connection counts as a subscriber: the node listens. What is delivered of the topic it gets once it attends. */
  join(topic: Topic): Membership;
  /** From now on, behind what was replied so far, the connection gets what is delivered of a topic that it has joined. */
  attend(topic: Topic): void;
  leave(topic: Topic): void;
  /**
   * Answers a command, and charges the payer for long publications. A `subscribed` goes without its publications if there is no room
   * for them. If the connection is closed by now, nothing happens.
   */
  reply(reply: OutgoingReply): void;
}
