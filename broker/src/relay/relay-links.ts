/** What the relay needs of its connections to Redis. */
import type { PublishingLink, SubscriberLink } from '../redis/redis.js';

/** The connection that receives messages. */
type ListeningLink = Pick<SubscriberLink, 'isReady' | 'subscribe' | 'unsubscribe'>;

/**
 * One connection to publish, one to listen, and one for `durable` topics if there are any. They lead to the server that
 * holds the relay's topics.
 */
export interface RelayLinks {
  readonly publisher: PublishingLink;
  /** Null if no topic is `durable`. */
  readonly durable: PublishingLink | null;
  readonly subscriber: ListeningLink;
  /** `host:port` of the master in a Redis Cluster, even if it has failed; null elsewhere, and before one is known. */
  readonly master: string | null;
  /** Whether Redis refuses publications because it is full. */
  readonly isOutOfMemory: boolean;
  /** What is wrong with a connection, in a sentence; null if nothing was found wrong recently. */
  readonly fault: string | null;
  /** Bytes that Redis holds because this node has not read them yet, when {@link measureOutputBuffer} was last called. */
  readonly outputBufferBytes: number;
  measureOutputBuffer(): Promise<void>;
  /**
   * Probes did not come back: the connections lead nowhere. `reason` is for the log. `since`: when the first of these
   * probes was sent, by performance.now().
   */
  replace(reason: string, since: number): void;
  close(): Promise<void>;
}
