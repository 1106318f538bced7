/**
 * Accepts publications, collects those of one turn, and passes them to the publisher for the level of their topics.
 * Refuses publications that could not reach the other nodes, or for which there is no room.
 */
import { type KeyedPayload, maxItemBytes, ReplyError, type Topic } from '@fanfare/protocol';
import type { Level, TopicPolicies } from '../topics/policy.js';
import { type Batch, PublishBatcher } from './publish-batcher.js';
import type { Payer, Receipt } from './relay.js';
import type { RelayPart } from './relay-share.js';
import type { ScopedId } from './scoped-id.js';

export interface LevelPublishersSettings {
  readonly topics: TopicPolicies;
}

/** Publishes to the topics of one level. */
interface LevelPublisher {
  publish(batches: readonly Batch[]): void;
  /** Resolves when everything that was sent so far has its outcome. */
  settled(): Promise<void>;
}

/** Publishes to the topics of one level with history. */
interface HistoryLevelPublisher extends LevelPublisher {
  /** Whether it has published to the topic and remembers that. */
  hasPublished(topic: Topic): boolean;
}

/** Whether a publication can be accepted, as this file needs it. */
interface PublishStatus {
  /** Whether Redis takes publications of this level now. */
  canPublish(level: Level): boolean;
  /** Whether Redis does not take them because it is full. */
  readonly isOutOfMemory: boolean;
}

/** Lets the other nodes know that this one publishes. Called before each publication to a topic with history. */
interface PublishAnnouncer {
  announcePublishing(): void;
}

export interface LevelPublishersCounters {
  /** Publications that reached only this node's subscribers, or nobody, because Redis could not be reached. */
  publicationsUnrelayed: number;
  /** Publications refused because the queue for Redis was full. */
  publicationsOverloaded: number;
}

export class LevelPublishers {
  readonly #batcher: PublishBatcher;
  readonly #waiting: RelayPart['waiting'];

  constructor(
    private readonly settings: LevelPublishersSettings,
    private readonly publishers: {
      readonly fast: LevelPublisher;
      readonly recoverable: HistoryLevelPublisher;
      readonly durable: HistoryLevelPublisher;
    },
    private readonly status: PublishStatus,
    private readonly announcer: PublishAnnouncer,
    private readonly counters: LevelPublishersCounters,
    { window, waiting }: Pick<RelayPart, 'window' | 'waiting'>,
    isTraced: boolean,
  ) {
    this.#waiting = waiting;
    this.#batcher = new PublishBatcher(window, waiting, (batches) => this.#publish(batches), isTraced);
  }

  /** See {@link Relay.publish}. */
  add(topic: Topic, payload: KeyedPayload, id: ScopedId | null, receipt: Receipt | null, payer: Payer | null): void {
    const policy = this.settings.topics.of(topic);
    if (!this.status.canPublish(policy.level)) {
      if (receipt !== null) throw unavailable(this.status.isOutOfMemory);
      // If the topic keeps no history, subscribers of this node get the publication nevertheless.
      if (policy.level !== 'fast') {
        this.counters.publicationsUnrelayed++;
        return;
      }
    }
    const size = maxItemBytes(payload);
    if (!this.#waiting.hasRoom(size)) {
      this.counters.publicationsOverloaded++;
      throw new ReplyError(
        'overloaded',
        'Too many publications are queued for Redis. Nothing was delivered. Publish more slowly.',
      );
    }
    this.#batcher.add(topic, policy, payload, id, receipt, payer);
  }

  /** See {@link Relay.hasPublished}. */
  hasPublished(topic: Topic): boolean {
    return this.publishers.recoverable.hasPublished(topic) || this.publishers.durable.hasPublished(topic);
  }

  /** Sends everything now, and resolves when all of it has its outcome. */
  async flush(): Promise<void> {
    this.#batcher.flush();
    const { fast, recoverable, durable } = this.publishers;
    await Promise.all([fast.settled(), recoverable.settled(), durable.settled()]);
  }

  #publish(batches: readonly Batch[]): void {
    const { fast, recoverable, durable } = this.publishers;
    const withoutHistory = ofLevel(batches, 'fast');
    if (withoutHistory.length > 0) fast.publish(withoutHistory);
    if (withoutHistory.length === batches.length) return;
    this.announcer.announcePublishing();
    recoverable.publish(ofLevel(batches, 'recoverable'));
    durable.publish(ofLevel(batches, 'durable'));
  }
}

/** Most turns have batches of one level only: then this makes no array. */
function ofLevel(batches: readonly Batch[], level: Level): readonly Batch[] {
  return batches.every(({ policy }) => policy.level === level)
    ? batches
    : batches.filter(({ policy }) => policy.level === level);
}

function unavailable(isOutOfMemory: boolean): ReplyError {
  const why = isOutOfMemory ? 'is out of memory (maxmemory)' : 'does not respond';
  return new ReplyError('unavailable', `The other nodes are unreachable: Redis ${why}. Nothing was delivered.`);
}
