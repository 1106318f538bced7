/** The contract between nodes: carries publications from the node that took them in to every node with a subscriber. */
import type { Payload, Position, ReplyError, Run, Topic } from '@fanfare/protocol';

/** Hears once what became of one acknowledged publication. */
export interface Receipt {
  /** The relay has accepted the publication; `position` is its place in the topic's history, null where there is none. */
  accepted(position: Position | null): void;
  /** `unconfirmed`: it may have been delivered or not. */
  failed(error: ReplyError): void;
}

/** Where publications come out. */
export interface Delivery {
  /** Hands a run to the subscribers on this node; false where there are none. `position` is that of the first publication. */
  deliver(topic: Topic, position: Position | null, run: Run): boolean;
  /** Tells the subscribers of the topic on this node that publications may have been lost. */
  tellGap(topic: Topic): void;
}

/** Whether the relay reaches the other nodes. A relay without other nodes is always `connected`. */
export type RelayState = 'connecting' | 'connected' | 'closed';

export interface Relay {
  readonly state: RelayState;

  /**
   * Takes in one publication. `payload` is copied before this returns. At level `fast` it is delivered at most once: to
   * the subscribers of this node when the event loop's turn ends, to those of every other node that listened when Redis
   * took it. Publications of one topic taken in by one node reach each subscriber in that order; those taken in by
   * different nodes may reach different subscribers in different orders.
   *
   * Throws ReplyError where it is delivered to nobody: `overloaded` where too much waits already, and, with a receipt,
   * `unavailable` where the other nodes cannot be reached. Else `receipt`, if given, hears the outcome once, never before this
   * returns, and within about the relay's timeout whatever happens to Redis.
   *
   * Without a receipt, a publication that cannot reach the other nodes is delivered to this node's subscribers; those of the
   * other nodes are told a gap when they can be reached again.
   */
  publish(topic: Topic, payload: Payload, receipt: Receipt | null): void;

  /**
   * Resolves once this node listens to the topic: what any node accepts from then on is delivered here, until
   * `unsubscribe`. Resolves with the topic's position, null where it has no history. Rejects with ReplyError
   * `unavailable` where that cannot be had within the relay's timeout; the caller then unsubscribes. Repeated calls are harmless.
   *
   * When the link to the other nodes was lost and is back, the relay listens to all topics again by itself and
   * calls `tellGap` for each before it delivers anything further of that topic.
   */
  subscribe(topic: Topic): Promise<Position | null>;

  /** Nobody on this node wants the topic any more. The relay may go on listening for a while. */
  unsubscribe(topic: Topic): void;

  /** Sends what was taken in, and resolves when every receipt has heard its outcome. */
  flush(): Promise<void>;

  /** Flushes, and lets go of everything. */
  close(): Promise<void>;
}
