/**
 * The connections of the relay to Redis: one to publish, one to listen, and one for `durable` topics if there are any.
 * They belong together. If one finds the server again, the others connect at once. If the path through Redis is broken,
 * all are replaced.
 */
import type { Log } from '../observe/log.js';
import {
  EvictionWatch,
  type LinksOwner,
  PublisherLink,
  type RedisCounters,
  type RedisSettings,
  SubscriberLink,
} from '../redis/redis.js';
import type { TopicPolicies } from '../topics/policy.js';
import type { RelayLinks } from './relay-links.js';

export interface ConnectionsSettings extends RedisSettings {
  readonly topics: TopicPolicies;
  readonly durableTimeoutMs: number;
}

export class Connections implements RelayLinks {
  readonly publisher: PublisherLink;
  /** Null if no topic is `durable`. */
  readonly durable: PublisherLink | null;
  readonly subscriber: SubscriberLink;
  readonly master = null;
  readonly #evictions: EvictionWatch;
  #outputBufferBytes = 0;

  constructor(
    settings: ConnectionsSettings,
    owner: LinksOwner,
    private readonly log: Log,
    counters: RedisCounters,
  ) {
    this.publisher = new PublisherLink(settings, log, counters, {
      onReady: () => {
        this.subscriber.reconnectNow();
        this.durable?.reconnectNow();
        void this.#evictions.look();
        owner.onPublisherReady();
      },
      onLost: (wasSilent) => {
        owner.onPublisherLost();
        // If a hung master has been failed over and then resumes, it may deliver publications that the new master does
        // not have.
        if (wasSilent) this.subscriber.reset();
      },
    });
    this.#evictions = new EvictionWatch(this.publisher, log, counters);
    // WAIT blocks its connection. Publications that need no replicas must not wait behind it.
    const redisTimeoutMs = settings.redisTimeoutMs + settings.durableTimeoutMs;
    this.durable = settings.topics.uses('durable')
      ? new PublisherLink({ ...settings, redisTimeoutMs }, log, counters, {}, 'durable')
      : null;
    this.subscriber = new SubscriberLink(settings, log, counters, {
      onReady: () => {
        this.publisher.reconnectNow();
        owner.onSubscriberReady();
      },
      onLost: () => {
        this.#outputBufferBytes = 0;
        owner.onSubscriberLost();
      },
      onMessage: (message) => owner.onMessage(message),
    });
  }

  /** Whether Redis refuses publications because it is full. */
  get isOutOfMemory(): boolean {
    return this.publisher.isOutOfMemory;
  }

  get fault(): string | null {
    return this.publisher.fault ?? this.subscriber.fault;
  }

  /**
   * Bytes that Redis holds because this node has not read them yet, when {@link measureOutputBuffer} was last called; 0
   * if unknown.
   */
  get outputBufferBytes(): number {
    return this.#outputBufferBytes;
  }

  async measureOutputBuffer(): Promise<void> {
    const { clientId } = this.subscriber;
    this.#outputBufferBytes = clientId === null ? 0 : await this.publisher.outputBufferBytes(clientId);
  }

  /** Publications did not come back. `reason` is for the log. */
  replace(reason: string): void {
    // Another connection would get the same answer, and this one still serves topics of level `fast`.
    if (this.isOutOfMemory) return;
    this.log.error(
      { event: 'busDead' },
      `The path through Redis is broken: ${reason}. Reconnecting both Redis connections.`,
    );
    this.publisher.reset();
    this.durable?.reset();
    this.subscriber.reset();
  }

  async close(): Promise<void> {
    this.#evictions.close();
    await Promise.all([this.publisher.close(), this.durable?.close(), this.subscriber.close()]);
  }
}
