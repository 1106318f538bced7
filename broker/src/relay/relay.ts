/** The contract between nodes: carries publications from the node that took them in to every node with a subscriber. */
import type { HistoryDirection, Payload, Position, ReplyError, Run, Topic } from '@fanfare/protocol';
import type { ScopedId } from './scoped-id.js';

/** Hears once what became of one acknowledged publication. */
export interface Receipt {
  /** The relay has accepted the publication; `position` is its place in the topic's history, null where there is none. */
  accepted(position: Position | null): void;
  /** `unconfirmed`: it may have been delivered or not. */
  failed(error: ReplyError): void;
}

/** Whoever sent a command, as far as what comes of it is counted. */
export interface Payer {
  /** Its publication is the first one of the topic: it has begun a history. */
  onTopicBegun(): void;
  /** A node has written this many bytes of publications for it, in the answer to one `history` or `subscribe`. */
  onPublicationsRead(bytes: number): void;
}

/** Where publications come out. */
export interface Delivery {
  /**
   * Hands a run to the subscribers on this node; false where there are none. `position` is that of the first publication; `wasMissed`: the
   * run did not come as it was published, but was read from the history.
   */
  deliver(topic: Topic, position: Position | null, run: Run, wasMissed?: boolean): boolean;
  /**
   * Tells the subscribers of the topic on this node that publications may have been lost; with a position, that those up to
   * it cannot be had.
   */
  tellGap(topic: Topic, position: Position | null): void;
  /** Tells the subscribers of the topic on this node that its history is another one: what follows comes after `position`. */
  tellReset(topic: Topic, position: Position): void;
}

/** A run that a topic with history has taken, for {@link PublishTracer}. All times are of performance.now(). */
export interface TakenRun {
  readonly topic: Topic;
  /** Of the first publication that is new. */
  readonly position: Position;
  /** How many are new. */
  readonly count: number;
  /** When the first of them came to this node. */
  readonly beganAt: number;
  /** From sending the run to Redis to its answer; null without Redis. */
  readonly redis: { readonly sentAt: number; readonly answeredAt: number } | null;
}

/** Who traces publications, as the relay needs it. */
export interface PublishTracer {
  /** To be called when the publishers have been answered. */
  published(run: TakenRun): void;
}

/**
 * Whether the relay reaches the other nodes. `connecting`: there is no connection. `unproven`: there is one, but what is published is not
 * known to come through it; `outOfMemory`: likewise, because Redis is full and refuses it. A relay without other nodes is always `connected`.
 */
export type RelayState = 'connecting' | 'unproven' | 'outOfMemory' | 'connected' | 'closed';

/** What a subscriber starts with. */
export interface Standing {
  /** Where the topic stands after `publications`; null where it has no history. */
  readonly position: Position | null;
  /** Whether `publications` are all that came after the position that the subscriber has seen. */
  readonly recovered: boolean;
  readonly publications: Run;
}

export interface HistoryRequest {
  /** Where to read on from, itself not included; null: forward from the oldest, backward from the newest. */
  readonly since: Position | null;
  readonly limit: number;
  readonly direction: HistoryDirection;
}

/** Publications out of a topic's history, in order. */
export interface HistoryPage {
  /** Where the topic stands. */
  readonly position: Position;
  /** Whether nothing is missing between `since` and `publications`. */
  readonly recovered: boolean;
  /** Offset of the first of `publications`; null where there are none. */
  readonly first: number | null;
  readonly publications: Run;
}

/** How the connections are spread over the nodes. */
export interface Spread {
  /** Those that do not stop and have said how many connections they have. */
  readonly nodes: number;
  /** Those of them that have room for more, and this one. */
  readonly open: number;
  /** Of all that are open. */
  readonly connections: number;
  /** Of this one, as it said it then. */
  readonly own: number;
}

/** The connections of this node. */
export interface Load {
  readonly connections: number;
  /** Whether it has no room for more. */
  readonly isFull: boolean;
}

export interface Relay {
  readonly state: RelayState;
  /** What is wrong with a connection to Redis, in a sentence; null if nothing was found wrong lately. */
  readonly fault: string | null;
  /** Nodes that are known to be alive, this one included. */
  readonly nodes: number;
  /** As of the last second; null while it is not known, and without other nodes. */
  readonly spread: Spread | null;
  /** Bytes that Redis holds because this node has not read them yet, as of the last second; 0 where it does not say. */
  readonly redisOutputBufferBytes: number;
  /** How long publications are gathered now before they leave together. */
  readonly flushWindowMs: number;

  /** Whether the topic keeps one: its level is not `fast`. */
  hasHistory(topic: Topic): boolean;

  /**
   * Whether this node has published to the topic's history and remembers it. If not, the history may be there nevertheless: after a while, or
   * after tens of thousands of other topics, a node forgets.
   */
  hasPublished(topic: Topic): boolean;

  /**
   * Takes in one publication. `payload` is copied before this returns.
   *
   * At level `fast` it is delivered at most once: to the subscribers of this node when the event loop's turn ends, to those of every
   * other node that listened when Redis took it. Publications of one topic taken in by one node reach each subscriber in
   * that order; those taken in by different nodes may reach different subscribers in different orders. Without a receipt, a
   * publication that cannot reach the other nodes is delivered to this node's subscribers; those of the other nodes are told a gap
   * when they can be reached again.
   *
   * At the other levels it gets the next offset of its topic and stands in the topic's history before anyone gets it; every node
   * that listens delivers it, in order of offset. A publication with an `id` that the topic has had within the
   * idempotency window is not published again: its receipt hears the position of the first. Without a receipt, a
   * publication that Redis does not take is delivered to nobody.
   *
   * Throws ReplyError where it is delivered to nobody: `overloaded` where too much waits already, and, with a receipt,
   * `unavailable` where Redis cannot be reached. Else `receipt`, if given, hears the outcome once, never before this
   * returns, and within about the relay's timeout whatever happens to Redis. `payer`, if given, hears if this has begun a history.
   */
  publish(topic: Topic, payload: Payload, id: ScopedId | null, receipt: Receipt | null, payer?: Payer | null): void;

  /**
   * Resolves once this node listens to the topic: what any node accepts from then on is delivered here, until
   * `unsubscribe`. Where the topic has history, what came after `since` is then at hand for {@link standing}, as far as the
   * history reaches and it is not too much. Rejects with ReplyError `unavailable` where that cannot be had within the relay's timeout; the
   * caller then unsubscribes. Repeated calls are harmless.
   *
   * When the link to the other nodes was lost and is back, the relay listens to all topics again by itself. Of topics without
   * history it calls `tellGap` before it delivers anything further; of the others it delivers what was missed, in order, and tells
   * only what cannot be had.
   */
  subscribe(topic: Topic, since: Position | null): Promise<void>;

  /**
   * Where a topic that is subscribed to stands, and what came after `since`. Everything behind that position is delivered after
   * this returns: a caller that joins the topic before it gives back control misses nothing and gets nothing twice.
   */
  standing(topic: Topic, since: Position | null): Standing;

  /** Nobody on this node wants the topic any more. The relay may go on listening for a while. */
  unsubscribe(topic: Topic): void;

  /** Reads the topic's history. Rejects with ReplyError: `noHistory` at level `fast`, `unavailable` where Redis cannot be asked. */
  history(topic: Topic, request: HistoryRequest): Promise<HistoryPage>;

  /** Sends what was taken in, and resolves when every receipt has heard its outcome. */
  flush(): Promise<void>;

  /**
   * Resolves when no other node would need what this one remembers if Redis lost its state now: a while after the last publication here.
   * To be called when nothing is published here any more; {@link close} then announces that the node has left. Takes at most `leaseMs`
   * (memory-times.ts).
   */
  retire(): Promise<void>;

  /** Flushes, and lets go of everything. */
  close(): Promise<void>;
}
