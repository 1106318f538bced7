/** The contract between nodes: carries publications from the node that took them in to every node with a subscriber. */
import type { HistoryDirection, KeyedPayload, Position, ReplyError, Run, Topic } from '@fanfare/protocol';
import type { Level } from '../topics/policy.js';
import type { ScopedId } from './scoped-id.js';

/** Notified once of the outcome of one acknowledged publication. */
export interface Receipt {
  /**
   * The relay has accepted the publication; `position` is its place in the topic's history, null if the topic keeps
   * none. `isDuplicate`: the topic had its messageId already, and nothing was published again.
   */
  accepted(position: Position | null, isDuplicate: boolean): void;
  /** `unconfirmed`: it may or may not have been delivered. */
  failed(error: ReplyError): void;
}

/** The sender of a command, as far as its effects are counted. */
export interface Payer {
  /** Its publication is the first one of the topic: it has begun a history. */
  onTopicBegun(): void;
  /** A node has written this many bytes of publications for it, in the answer to one `history` or `subscribe`. */
  onPublicationsRead(bytes: number): void;
}

/** Delivers to the subscribers on this node. */
export interface Delivery {
  /**
   * Hands a run to the subscribers on this node; returns false if there are none. `position`: the position of the first
   * publication. `wasMissed`: the run did not arrive when it was published, but was read from the history.
   */
  deliver(topic: Topic, position: Position | null, run: Run, wasMissed?: boolean): boolean;
  /**
   * Notifies the subscribers of the topic on this node that publications may be lost. With a position, publications up
   * to it cannot be recovered.
   */
  notifyGap(topic: Topic, position: Position | null): void;
  /**
   * Notifies the subscribers of the topic on this node that it has a new history. Its next publications follow
   * `position`.
   */
  notifyReset(topic: Topic, position: Position): void;
}

/** The subscribers on this node. */
export interface LocalSubscribers extends Delivery {
  /** How many the topic has. */
  subscribersOf(topic: Topic): number;
}

/** A run that was added to the history of a topic, for {@link PublishTracer}. All times are of performance.now(). */
export interface TakenRun {
  readonly topic: Topic;
  /** The position of the first new publication. */
  readonly position: Position;
  /** The number of new publications. */
  readonly count: number;
  /** When this node received the first of them. */
  readonly beganAt: number;
  /** From sending the run to Redis to its answer; null without Redis. */
  readonly redis: { readonly sentAt: number; readonly answeredAt: number } | null;
}

/** Traces publications, as the relay needs it. */
export interface PublishTracer {
  /** Called when the publishers have been answered. */
  published(run: TakenRun): void;
}

/**
 * Whether the relay reaches the other nodes, with any of its Redis if there are several. `connecting`: there is no
 * connection. `unproven`: there is one, but no proof that publications pass through it. `outOfMemory`: Redis is full and
 * refuses publications. `mapFault`: the node does not know which of several Redis has which topics. A relay without
 * other nodes is always `connected`.
 */
export type RelayState = 'connecting' | 'unproven' | 'outOfMemory' | 'mapFault' | 'connected' | 'closed';

/** What a subscriber starts with. */
export interface SubscribeResult {
  /** Position of the topic after `publications`; null if it has no history. */
  readonly position: Position | null;
  /** Whether `publications` are all that followed the position that the subscriber has seen. */
  readonly recovered: boolean;
  readonly publications: Run;
}

export interface HistoryRequest {
  /**
   * The page starts next to this position, without it. Null: forward from the oldest publication, or backward from the
   * newest.
   */
  readonly since: Position | null;
  readonly limit: number;
  readonly direction: HistoryDirection;
}

/** Publications from a topic's history, in order. */
export interface HistoryPage {
  /** The position of the newest publication of the topic. */
  readonly position: Position;
  /** Whether nothing is missing between `since` and `publications`. */
  readonly recovered: boolean;
  /** Offset of the first of `publications`; null if there are none. */
  readonly first: number | null;
  readonly publications: Run;
}

/** A topic as all nodes together see it now. */
export interface TopicInfo {
  readonly level: Level;
  /** The position of the newest publication; null if the topic has no history. */
  readonly position: Position | null;
  readonly subscribers: SubscriberCount;
}

/** The subscribers of a topic on all nodes. */
export interface SubscriberCount {
  /** Subscribers on the nodes that answered. */
  readonly count: number;
  readonly nodes: {
    /** The nodes that may have subscribers, this one included. */
    readonly asked: number;
    /** Those of them that answered in time: `count` is exact if all did. */
    readonly answered: number;
  };
}

export interface TopicsRequest {
  /** The topics begin with this text. */
  readonly prefix: string;
  /** `next` of the previous page; null for the first page. */
  readonly cursor: string | null;
  /** How many topics the page should have: it may have a few more, or fewer. */
  readonly limit: number;
}

/** Topics with a history, in no particular order. */
export interface TopicsPage {
  readonly topics: readonly Topic[];
  /** The cursor of the next page; null if there is none. */
  readonly next: string | null;
}

/** A Redis that holds topics. */
export interface ShardStatus {
  /** Its name, without a password. */
  readonly name: string;
  /** Whether this node can use all its topics. */
  readonly isConnected: boolean;
  /** How many partitions of the topics it holds. */
  readonly partitions: number;
  /** How many of these this node cannot use. */
  readonly unavailable: number;
  /** What is wrong with it, in a sentence that names it; null if nothing was found wrong recently. */
  readonly fault: string | null;
}

/** How the connections are spread over the nodes. */
export interface Spread {
  /** Nodes that have reported their connections and are not stopping. */
  readonly nodes: number;
  /** Those of these nodes that have room for more, and always this node. */
  readonly open: number;
  /** Connections of the open nodes. */
  readonly connections: number;
  /** Connections of this node, as of its last report. */
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
  /** What is wrong with a connection to Redis, in a sentence; null if nothing was found wrong recently. */
  readonly fault: string | null;
  /** Nodes that are known to be alive, this one included. */
  readonly nodes: number;
  /** The spread as of the last second; null while it is not known, or if there are no other nodes. */
  readonly spread: Spread | null;
  /** Bytes that Redis holds because this node has not read them yet, as of the last second; 0 if it does not say. */
  readonly redisOutputBufferBytes: number;
  /** Each Redis that holds topics; empty without Redis. */
  readonly shards: readonly ShardStatus[];
  /** For how long publications are collected now before they are sent together. */
  readonly flushWindowMs: number;

  /** Whether the topic keeps a history: its level is not `fast`. */
  hasHistory(topic: Topic): boolean;

  /**
   * Whether this node has published to the topic's history and remembers it. If not, there may still be a history:
   * after a while, or after tens of thousands of other topics, a node forgets.
   */
  hasPublished(topic: Topic): boolean;

  /**
   * Accepts one publication. `payload` is copied before this returns.
   *
   * At level `fast`, each subscriber gets it at most once. Subscribers on this node get it when the turn of the event
   * loop ends. Subscribers on other nodes get it if their node listened when Redis received it. If one node accepts
   * several publications of a topic, each subscriber gets them in that order. If different nodes accept them,
   * subscribers may get them in different orders. If a publication without a receipt cannot reach the other nodes, only
   * this node's subscribers get it. Subscribers of other nodes get a gap when these nodes can be reached again.
   *
   * At the other levels it gets the next offset of its topic and is in the topic's history before anyone gets it. Every
   * node that listens delivers it, in order of offset. If the topic has had the same `id` within the idempotency
   * window, nothing is published again. The receipt then gets the position of the first publication. Without a receipt,
   * a publication that Redis does not accept is delivered to nobody.
   *
   * Throws ReplyError if it is delivered to nobody: `overloaded` if too much waits already, and, with a receipt,
   * `unavailable` if Redis cannot be reached. Otherwise `receipt`, if given, is notified of the outcome once: after
   * this returns, and within about the relay's timeout, whatever happens to Redis. `payer`, if given, is notified if
   * this publication has begun a history.
   */
  publish(
    topic: Topic,
    payload: KeyedPayload,
    id: ScopedId | null,
    receipt: Receipt | null,
    payer?: Payer | null,
  ): void;

  /**
   * Resolves once this node listens to the topic: everything that any node accepts from then on is delivered here,
   * until `unsubscribe`. If the topic has history, {@link subscribeResult} can then return the publications after
   * `since`, unless they are too many or the history no longer has them. Rejects with ReplyError `unavailable` if the
   * relay's timeout passes first; the caller must then unsubscribe. Repeated calls are harmless.
   *
   * When the link to the other nodes was lost and is back, the relay listens to all topics again by itself. For topics
   * without history it calls `notifyGap` before it delivers anything else. For the others it delivers missed
   * publications in order, and notifies only of those that cannot be recovered.
   */
  subscribe(topic: Topic, since: Position | null): Promise<void>;

  /**
   * The position of a subscribed topic, and the publications after `since`. Everything after that position is delivered
   * after this method returns. So a caller that joins the topic before it returns to the event loop misses nothing and
   * gets nothing twice.
   */
  subscribeResult(topic: Topic, since: Position | null): SubscribeResult;

  /** Nobody on this node wants the topic any more. The relay may listen to it for a while longer. */
  unsubscribe(topic: Topic): void;

  /**
   * Reads the topic's history. Rejects with ReplyError: `noHistory` at level `fast`, `unavailable` if Redis does not
   * answer.
   */
  history(topic: Topic, request: HistoryRequest): Promise<HistoryPage>;

  /**
   * Asks Redis and all nodes about a topic. Resolves within about a second, also if a node does not answer. Rejects
   * with ReplyError `unavailable` if the topic keeps a history and Redis does not answer.
   */
  topicInfo(topic: Topic): Promise<TopicInfo>;

  /**
   * The topics that have a history. A topic that exists from the first page to the last is on at least one of them; it
   * may be on several. Rejects with ReplyError: `malformed` if the cursor is not one of this relay, `unavailable` if
   * Redis does not answer.
   */
  topics(request: TopicsRequest): Promise<TopicsPage>;

  /** Sends all accepted publications, and resolves when every receipt has been notified. */
  flush(): Promise<void>;

  /**
   * Resolves a while after the last publication, when no other node needs the memory of this one even if Redis loses
   * its state. Call it when nothing more is published here. {@link close} then announces that the node has left. Takes
   * at most `leaseMs` (memory-times.ts).
   */
  retire(): Promise<void>;

  /** Flushes, and releases everything. */
  close(): Promise<void>;
}
