/** The connection that a command came on, as the handlers see it. */
import type { OutgoingReply, Position, Topic } from '@fanfare/protocol';
import type { Action } from '../auth/permissions.js';
import type { Payer } from '../relay/relay.js';
import type { IdScope } from '../relay/scoped-id.js';
import type { PublishOrder } from './publish-order.js';

/** One subscription of a connection to a topic. */
export interface Subscription {
  /** Whether the connection is still open and has not left the topic since. */
  readonly isCurrent: boolean;
  /** Resolves when the node receives the topic. Rejects as `Relay.subscribe` does. */
  readonly ready: Promise<void>;
}

export interface Caller {
  /**
   * For the log: the name of the connection and its subject. Null without authentication, or until a token is accepted.
   */
  whoIs(): { readonly connection: string | null; readonly subject: string | null };
  /** How many topics the connection is subscribed to. */
  readonly subscriptions: number;
  /** Bytes that a reply may have now without bringing the connection near its limit of unread bytes. */
  readonly room: number;
  /** How many histories are being read for the connection. */
  readonly histories: number;
  /** Counts a history as being read until `reading` settles. Settles as `reading` does. */
  trackHistory<Page>(reading: Promise<Page>): Promise<Page>;
  /** Who is charged for new topics and for publications that are read; null if they are not counted. */
  readonly payer: Payer | null;
  /** Null until a publication of the connection has to be retried first. */
  readonly publishOrder: PublishOrder | null;
  /** Later publications to the topic wait until this one is retried ({@link PublishOrder}). */
  expectRetry(topic: Topic, messageId: string): void;
  /** The scope in which the messageIds of its publications are unique. */
  readonly idScope: IdScope;
  /** How long the token is still valid, in milliseconds; null if it does not expire, or if none was needed. */
  readonly expiresInMs: number | null;
  /** Whether the token permits it. Without authentication everything is permitted. */
  allows(action: Action, topic: Topic): boolean;
  /** Replaces the token. Rejects with ReplyError if the new one is not accepted. */
  refresh(token: string): Promise<void>;
  isSubscribed(topic: Topic): boolean;
  /**
   * Counts the connection as a subscriber and makes the node receive the topic. Deliveries begin with {@link attend}.
   */
  join(topic: Topic, since: Position | null): Subscription;
  /** Begins the deliveries of a topic that the connection has joined. They follow all replies so far. */
  attend(topic: Topic): void;
  leave(topic: Topic): void;
  /**
   * Answers a command, and charges the payer for long publications. A `subscribed` is sent without its publications if
   * there is no room for them. Does nothing if the connection is closed by now.
   */
  reply(reply: OutgoingReply): void;
}
