/** The parts of a load: numbers, rates, and disturbances. A scenario is a function that returns one. */

/** Which topics a subscribing connection has, by its number. */
type SubscriptionPlan =
  /** Each has all topics. */
  | { readonly name: 'all' }
  /** Each has one, in turn. */
  | { readonly name: 'one' }
  /** Each has this many, spread over all topics. */
  | { readonly name: 'some'; readonly topics: number };

/**
 * Which stream comes next: each in its turn, or those of the first topics more often (Zipf: the n-th topic with weight
 * 1 / n^exponent).
 */
type Choice = { readonly name: 'inTurn' } | { readonly name: 'zipf'; readonly exponent: number };

/**
 * What happens to subscribers while publications flow; times count from the beginning of the measured time, in seconds.
 */
export type Disturbance =
  /** A share of the connections breaks at once and reconnects as fast as permitted. */
  | { readonly name: 'storm'; readonly atSeconds: number; readonly share: number }
  /** Connections are replaced by new ones, this many per second. */
  | { readonly name: 'churn'; readonly connectionsPerSecond: number }
  /** Subscriptions end and start again, this many per second. */
  | { readonly name: 'resubscribe'; readonly subscriptionsPerSecond: number }
  /** A share of the connections stops reading. */
  | { readonly name: 'stall'; readonly atSeconds: number; readonly share: number }
  /** A share of the connections is away for a while. */
  | { readonly name: 'absence'; readonly atSeconds: number; readonly seconds: number; readonly share: number };

export interface Workload {
  readonly topics: number;
  /** Subscribing connections. */
  readonly subscribers: number;
  readonly subscriptions: SubscriptionPlan;
  /** Begins the names of all topics: loads with different ones do not meet. */
  readonly topicPrefix: string;
  /** Publishing connections. */
  readonly publishers: number;
  /** Publications a second, by all publishers together; 0: none. */
  readonly perSecond: number;
  /** Publications sent together. */
  readonly burst: number;
  readonly choice: Choice;
  readonly publicationBytes: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly disturbances: readonly Disturbance[];
  /** Which of the servers subscribers connect to, in turn; null: all. */
  readonly subscriberServers: readonly number[] | null;
  readonly publisherServers: readonly number[] | null;
}

export const defaultWorkload: Workload = {
  topics: 1,
  subscribers: 1,
  subscriptions: { name: 'one' },
  topicPrefix: 'load',
  publishers: 1,
  perSecond: 0,
  burst: 1,
  choice: { name: 'inTurn' },
  publicationBytes: 128,
  warmUpSeconds: 1,
  seconds: 5,
  disturbances: [],
  subscriberServers: null,
  publisherServers: null,
};

/**
 * A stream is what one publisher sends to one topic: its publications are numbered without holes. There are as many as
 * topics or as publishers, whichever is more, and each belongs to one publisher.
 */
export function streamsOf({ topics, publishers, perSecond }: Workload): number {
  return perSecond === 0 ? 0 : Math.max(topics, publishers);
}

export function topicOfStream(stream: number, { topics }: Workload): number {
  return stream % topics;
}

export function publisherOfStream(stream: number, { publishers }: Workload): number {
  return stream % publishers;
}

export function topicName(topic: number, { topicPrefix }: Workload): string {
  return `${topicPrefix}.${topic}`;
}

/** The topics of a subscribing connection, each once. */
export function topicsOfSubscriber(subscriber: number, { topics, subscriptions }: Workload): readonly number[] {
  switch (subscriptions.name) {
    case 'all':
      return Array.from({ length: topics }, (_, topic) => topic);
    case 'one':
      return [subscriber % topics];
    case 'some': {
      const count = Math.min(subscriptions.topics, topics);
      const first = (subscriber * count) % topics;
      return Array.from({ length: count }, (_, index) => (first + index) % topics);
    }
  }
}

/** Average deliveries of a publication, if each stream publishes once. */
export function meanFanout(workload: Workload): number {
  const { topics, subscribers, subscriptions } = workload;
  if (subscriptions.name === 'all') return subscribers;
  const perSubscriber = subscriptions.name === 'one' ? 1 : Math.min(subscriptions.topics, topics);
  return (subscribers * perSubscriber) / topics;
}
