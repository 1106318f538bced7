/** The whole state of one topic that this node listens to in Redis. */
import type { ReplyError, Topic } from '@fanfare/protocol';
import type { TopicPolicies, TopicPolicy } from '../topics/policy.js';
import type { TopicFeed } from './topic-feed.js';

export class TopicState {
  /** Null for a topic without history, and until its first subscriber asks for it. */
  feed: TopicFeed | null = null;
  /** Whether anyone on this node wants the topic. */
  isWanted = false;
  /**
   * `idle`: not listened to on this connection. `queued`: SSUBSCRIBE is sent at the end of this turn. `sent`: it is on
   * its way. `confirmed`: Redis has answered.
   */
  listening: 'idle' | 'queued' | 'sent' | 'confirmed' = 'idle';
  /** The topic was listened to when the connection was lost: subscribers may have missed something. */
  wasLost = false;
  /** The subscribers that wait for Redis. */
  waiting: Waiting | null = null;

  constructor(
    readonly topic: Topic,
    readonly policy: TopicPolicy,
  ) {}

  get hasHistory(): boolean {
    return this.policy.level !== 'fast';
  }
}

export interface Waiting {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: ReplyError): void;
}

/** The states of all topics that this node listens to. */
export class TopicStates {
  readonly #states = new Map<Topic, TopicState>();

  constructor(private readonly policies: TopicPolicies) {}

  get(topic: Topic): TopicState | undefined {
    return this.#states.get(topic);
  }

  getOrCreate(topic: Topic): TopicState {
    let state = this.#states.get(topic);
    if (state === undefined) {
      state = new TopicState(topic, this.policies.of(topic));
      this.#states.set(topic, state);
    }
    return state;
  }

  /** Whether a state is still in use. A newer state of the same topic may have replaced it. */
  has(state: TopicState): boolean {
    return this.#states.get(state.topic) === state;
  }

  delete(state: TopicState): void {
    state.feed?.forget();
    this.#states.delete(state.topic);
  }

  all(): Iterable<TopicState> {
    return this.#states.values();
  }

  /** The feeds that have been read once. */
  *openFeeds(): Iterable<TopicFeed> {
    for (const { feed } of this.#states.values()) if (feed?.isOpen) yield feed;
  }

  clear(): void {
    for (const state of this.#states.values()) state.feed?.forget();
    this.#states.clear();
  }
}
