/**
 * One subscription that components share, and what it makes of the publications. React reads its snapshot, and subscribes
 * to changes (`useSyncExternalStore`).
 */
import type {
  Client,
  FanfareError,
  GapReason,
  Position,
  Publication,
  SubscribeOptions,
  Subscription,
  SubscriptionState,
} from '@fanfare/client';
import { type Batch, callAll, enqueue, withdraw } from './batches.js';
import { lingerMs } from './linger.js';

/**
 * Publications are or may be missing in the data, and could not be recovered. `reason` is the reason that the client
 * gives, or `unsubscribed`: the topic keeps no history, and for more than a second no visible component used it, or the
 * client was closed. `position` is where delivery continues; null if the topic keeps no history.
 */
export interface TopicGap {
  readonly reason: GapReason | 'unsubscribed';
  readonly position: Position | null;
}

/** The topic has a new history. Delivery continues after `position`. */
export interface TopicReset {
  readonly position: Position;
}

/** What `useTopic()` returns. The same object until something changes. */
export interface TopicState<Data> {
  /**
   * Last publication: its data, or undefined before the first one. List: the publications, oldest first. Reduce: the
   * state. A reset empties the list, and restores `undefined` or `initial`.
   */
  readonly data: Data;
  /**
   * `subscribing` at first, on a server, and while there is no connection. `subscribed` if the node has confirmed the
   * subscription and the requested history is in `data`. `unsubscribed` if the subscription has ended: see `error`. It
   * is retried when the client connects again.
   */
  readonly status: SubscriptionState['name'];
  /**
   * The last gap since the data began, or null. The data stays as it is. Each gap is a new object, so an effect that
   * depends on it runs once for each gap.
   */
  readonly gap: TopicGap | null;
  /**
   * The last reset, or null. It has emptied the data, and new publications follow. If your app built other state from
   * this topic, reload it. Each reset is a new object.
   */
  readonly reset: TopicReset | null;
  /**
   * The last error: a publication that could not be delivered, a refusal that the client retries, or why the subscription
   * has ended. The last two are null again when the node confirms the subscription, or when an ended
   * subscription is retried. These errors do not reach the client's `error` event.
   */
  readonly error: FanfareError | null;
  /**
   * Position in the history up to which `data` has the publications. Null before the confirmation, and if the topic
   * keeps no history.
   */
  readonly position: Position | null;
  /**
   * Discards the data, the gap and the reset, and subscribes again with the option `last`; without it, `data` begins again
   * with new publications. It ignores `since`: if that position has led to a gap or a reset, it would do so each time. To
   * begin after a position, load a snapshot and pass its position as `since`. It affects all components that share this
   * subscription. It does nothing on a server.
   */
  readonly restart: () => void;
}

/** What a component asks for. */
export interface TopicSettings {
  readonly topic: string;
  readonly beginning: SubscribeOptions;
  /** The data before the first publication. */
  readonly initial: unknown;
  /** Adds publications to the data. The order is the order of arrival. */
  readonly fold: (data: unknown, arrived: readonly Publication[]) => unknown;
}

type Snapshot = TopicState<unknown>;

/** The state before anything has arrived, and on a server. */
export function firstState(initial: unknown, restart: () => void): Snapshot {
  return { data: initial, status: 'subscribing', gap: null, reset: null, error: null, position: null, restart };
}

interface StoreListener {
  /** The store is in use again, after it was closed. */
  onOpen(store: TopicStore): void;
  /** Nobody has used the store for a while. */
  onClose(store: TopicStore): void;
}

export class TopicStore implements Batch {
  readonly #client: Client;
  readonly #settings: TopicSettings;
  #beginning: SubscribeOptions;
  readonly #listener: StoreListener;
  /** Functions of React that render the components again. */
  readonly #users = new Set<() => void>();
  #closing: ReturnType<typeof setTimeout> | undefined;
  #subscription: Subscription | null = null;
  /** The last error, if a confirmation makes it obsolete. */
  #refusal: FanfareError | null = null;
  /** True if publications may have been missed without a subscription. */
  #isJoined = false;
  /** Where the next subscription continues. */
  #position: Position | null = null;
  /** Not in the data yet. */
  #arrived: Publication[] = [];
  /** The snapshot with what has happened since, but without `#arrived`. */
  #next: Snapshot;
  #snapshot: Snapshot;
  #failure: { readonly thrown: unknown } | null = null;
  #stopListening: (() => void) | null = null;

  constructor(client: Client, settings: TopicSettings, listener: StoreListener) {
    this.#client = client;
    this.#settings = settings;
    this.#beginning = settings.beginning;
    this.#listener = listener;
    this.#snapshot = firstState(settings.initial, this.#restart);
    this.#next = this.#snapshot;
    // React may discard the component before it subscribes.
    this.#closeLater();
  }

  /** Throws what `reduce` threw: the error boundary around the component gets it. */
  readonly getSnapshot = (): Snapshot => {
    if (this.#failure !== null) throw this.#failure.thrown;
    return this.#snapshot;
  };

  /** Throws if the topic, `since` or `last` is invalid. */
  readonly subscribe = (onChange: () => void): (() => void) => {
    clearTimeout(this.#closing);
    this.#users.add(onChange);
    const leave = (): void => {
      this.#users.delete(onChange);
      if (this.#users.size === 0) this.#closeLater();
    };
    try {
      if (this.#isOver && this.#failure === null) this.#open();
    } catch (error) {
      leave();
      throw error;
    }
    return leave;
  };

  deliver(): void {
    const arrived = this.#arrived;
    this.#arrived = [];
    let { data } = this.#next;
    try {
      if (arrived.length > 0) data = this.#settings.fold(data, arrived);
    } catch (thrown) {
      this.#failure = { thrown };
      this.#close();
    }
    this.#next = { ...this.#next, data, status: this.#status, position: this.#position };
    if (this.#failure === null && isEqual(this.#next, this.#snapshot)) return;
    this.#snapshot = this.#next;
    callAll(this.#users);
  }

  get #isOver(): boolean {
    return this.#subscription === null || this.#subscription.state.name === 'unsubscribed';
  }

  get #status(): Snapshot['status'] {
    if (this.#subscription === null) return this.#refusal === null ? 'subscribing' : 'unsubscribed';
    return this.#subscription.state.name;
  }

  /** Subscribes, and continues from where the last subscription has ended. */
  #open(): void {
    const beginning = this.#position === null ? this.#beginning : { since: this.#position };
    const subscription = this.#subscribe(this.#settings.topic, beginning);
    this.#stopListening ??= this.#client.on('state', this.#onState);
    this.#listener.onOpen(this);
    this.#subscription = subscription;
    if (subscription === null) return;
    if (this.#isJoined && this.#position === null) this.#note({ gap: { reason: 'unsubscribed', position: null } });
    subscription.on('subscribed', ({ position }) => {
      this.#isJoined = true;
      this.#position = position;
      this.#note(this.#next.error === this.#refusal ? { error: null } : {});
    });
    subscription.on('gap', (gap) => {
      this.#position = gap.position;
      this.#note({ gap });
    });
    subscription.on('reset', (reset) => {
      this.#arrived = [];
      this.#position = reset.position;
      this.#note({ data: this.#settings.initial, gap: null, reset });
    });
    subscription.on('error', (error) => {
      const { state } = subscription;
      if (state.name !== 'subscribed' && state.error === error) this.#refusal = error;
      this.#note({ error });
    });
    // An error that ends the subscription was an `error` event before.
    subscription.on('unsubscribed', () => this.#note({}));
    // A store that was closed shows that it subscribes again. Why it could not, or has ended, is obsolete: a provider that
    // is shown again connects its client after the components below it have tried to subscribe.
    this.#note(this.#next.error === this.#refusal ? { error: null } : {});
  }

  /** Returns null if the client accepts no subscriptions at the moment. */
  #subscribe(topic: string, beginning: SubscribeOptions): Subscription | null {
    try {
      return this.#client.subscribe(topic, beginning, this.#onPublication);
    } catch (error) {
      const { code } = error as Partial<FanfareError>;
      if (code !== 'closed' && code !== 'draining') throw error;
      this.#refusal = error as FanfareError;
      this.#note({ error: this.#refusal });
      return null;
    }
  }

  readonly #onPublication = (publication: Publication): void => {
    this.#arrived.push(publication);
    this.#position = publication.position;
    enqueue(this);
  };

  readonly #onState = (): void => {
    if (this.#isOver && this.#client.state.name === 'connecting') this.#open();
    // The client interrupts subscriptions without an event of their own.
    else this.#note({});
  };

  #note(news: Partial<Snapshot>): void {
    this.#next = { ...this.#next, ...news };
    enqueue(this);
  }

  readonly #restart = (): void => {
    if (this.#users.size === 0) return;
    const earlier = this.#subscription;
    this.#arrived = [];
    this.#position = null;
    this.#isJoined = false;
    this.#beginning = { last: this.#settings.beginning.last };
    this.#next = firstState(this.#settings.initial, this.#restart);
    // Before the earlier subscription ends: then the node keeps its subscription to the topic.
    this.#open();
    earlier?.unsubscribe();
  };

  #closeLater(): void {
    this.#closing = setTimeout(() => {
      // For a component in a hidden <Activity>, which keeps this store.
      this.deliver();
      this.#close();
    }, lingerMs);
  }

  #close(): void {
    withdraw(this);
    this.#stopListening?.();
    this.#stopListening = null;
    const subscription = this.#subscription;
    this.#subscription = null;
    subscription?.unsubscribe();
    this.#listener.onClose(this);
  }
}

function isEqual(one: Snapshot, other: Snapshot): boolean {
  const names = Object.keys(one) as (keyof Snapshot)[];
  return names.every((name) => Object.is(one[name], other[name]));
}
