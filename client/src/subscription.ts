/** One subscription of the application: its state, its events, and its publications for a loop or a listener. */
import type { Item, Position } from '@fanfare/protocol';
import { Condition } from './condition.js';
import type { ReadonlyData } from './data-types.js';
import { call, Emitter } from './emitter.js';
import { type ErrorCode, FanfareError, listenerFailed } from './errors.js';
import { Queue } from './queue.js';
import type { TopicOf } from './topics.js';

/** One publication as subscribers get it. */
export interface Publication<Topic extends string = string, Data = unknown> {
  readonly topic: Topic;
  /** All subscriptions of a client to one topic share this object. Do not change it. */
  readonly data: Data;
  /** Position in the topic's history; null if the topic keeps no history. */
  readonly position: Position | null;
  /** What the publication is about; absent if its publisher gave no key. */
  readonly key?: string;
  /** True if the publication removes what was published with its `key`; otherwise absent. */
  readonly remove?: true;
}

/** `data`: the data of the item, after the check of a schema. */
export function publicationOf(
  topic: string,
  data: unknown,
  position: Position | null,
  { key, remove }: Item,
): Publication {
  const publication = { topic, data, position };
  if ((key ?? null) === null) return publication;
  return { ...publication, key: key as string, ...(remove === true && { remove }) };
}

/** The publications of a topic. For a union of topics, `topic` decides the type of `data`. */
export type PublicationOf<Topics extends object, Topic extends TopicOf<Topics>> = Topic extends unknown
  ? Publication<Topic, ReadonlyData<Topics[Topic]>>
  : never;

/** The subscription to a topic, or to one topic of a union. */
export type SubscriptionOf<Topics extends object, Topic extends TopicOf<Topics>> = Topic extends unknown
  ? Subscription<Topic, ReadonlyData<Topics[Topic]>>
  : never;

export type SubscriptionState =
  /** Requested, or waiting for a connection. `error` is the last refusal if the client is retrying. */
  | { readonly name: 'subscribing'; readonly error: FanfareError | null }
  /** Confirmed: all publications from now on arrive. */
  | { readonly name: 'subscribed' }
  /** Ended. If there is an `error`, `code` is its code. */
  | { readonly name: 'unsubscribed'; readonly code: ErrorCode; readonly error: FanfareError | null };

/**
 * Why publications are or may be missing. `reconnected`: the topic keeps no history and the connection was lost.
 * `node`: the node reported a loss. `history`: the history does not reach back that far.
 */
export type GapReason = 'reconnected' | 'node' | 'history';

/** The events of a subscription. */
export interface SubscriptionEvents {
  /**
   * The node confirmed the subscription, the first time or after a reconnect. After a reconnect, the client first
   * delivers the missed publications, or emits `gap` or `reset` if it cannot. `recovered` is true if nothing is missing
   * since the last `subscribed` event, or since the option `since`. `position` is the newest position of the topic;
   * null if the topic keeps no history.
   */
  subscribed: { readonly position: Position | null; readonly recovered: boolean };
  /**
   * Publications are or may be missing at this point, and the client could not recover them. Delivery continues after
   * `position`, which is null if the topic keeps no history. A listener gets this event in order with its publications.
   * A loop may still hold earlier ones.
   */
  gap: { readonly reason: GapReason; readonly position: Position | null };
  /**
   * The topic has a new history (a new epoch), for example because Redis lost its data. Old positions are invalid.
   * Reload all state that you built from this topic. Delivery continues after `position`. As with `gap`, a loop may
   * still hold earlier publications.
   */
  reset: { readonly position: Position };
  /**
   * A publication could not be delivered (`undecodable`, `invalidData`), but later ones still arrive. Or the client
   * retries after a refusal. Or the subscription failed. If this event has no listener, the error goes to the client's
   * `error` event. A failure does not go to the client if a loop throws it, or if `ready` was read and rejects with it.
   */
  error: FanfareError;
  /** The subscription ended. `error` is null if the application ended it. */
  unsubscribed: { readonly code: ErrorCode; readonly error: FanfareError | null };
}

/**
 * A subscription to a topic. Without a listener, read it with `for await`. Leaving the loop unsubscribes. If there are
 * several loops, each publication goes to only one of them.
 */
export interface Subscription<Topic extends string = string, Data = unknown>
  extends AsyncIterable<Publication<Topic, Data>> {
  readonly topic: Topic;
  readonly state: SubscriptionState;
  /**
   * Resolves when the node has confirmed the subscription and the requested history has been delivered. For a loop, it
   * is enough that the loop has something to read. Rejects if the subscription ends first. If you never read this
   * property, only the events `error` and `unsubscribed` report that.
   */
  readonly ready: Promise<void>;
  /** Calls `listener` for each event from now on. Returns a function that removes the listener. */
  on<Name extends keyof SubscriptionEvents>(
    name: Name,
    listener: (event: SubscriptionEvents[Name]) => unknown,
  ): () => void;
  /** Ends the subscription at once: nothing more is delivered, and its loop ends. `using` calls it too. */
  unsubscribe(): void;
  [Symbol.dispose](): void;
}

export type Listener = (publication: Publication) => unknown;

interface ReaderSettings {
  readonly topic: string;
  /** Null if publications are held for a loop. */
  readonly listener: Listener | null;
  /** True if the subscription starts at a position from the application (`since`). */
  readonly isContinued: boolean;
  readonly maxBufferedPublications: number;
  /** Called once, when the subscription has ended. */
  readonly onEnd: (reader: Reader) => void;
  /** Gets errors that have no listener. */
  readonly report: (error: FanfareError) => void;
}

type Result = IteratorResult<Publication, undefined>;

/** The two ends of a promise. */
interface Promised<Value> {
  readonly resolve: (value: Value) => void;
  readonly reject: (error: FanfareError) => void;
}

const done: Result = { done: true, value: undefined };

function reasonOf({ code, error }: SubscriptionEvents['unsubscribed']): FanfareError {
  return error ?? new FanfareError(code);
}

/** Implementation of {@link Subscription}. The feed of the topic calls it. */
export class Reader implements Subscription, AsyncIterator<Publication, undefined> {
  /** The subscription has ended, and a loop has read all held publications. */
  readonly consumed = new Condition(() => this.#state.name === 'unsubscribed' && this.#held.size === 0);
  readonly #settings: ReaderSettings;
  readonly #events: Emitter<SubscriptionEvents>;
  #state: SubscriptionState = { name: 'subscribing', error: null };
  #wasReady = false;
  /** True if nothing is missing since the last confirmation, or since the start position. */
  #isRecovered: boolean;
  /** Created when `ready` is first read. Otherwise its rejection would be an unhandled rejection. */
  #ready: (Promised<void> & { readonly promise: Promise<void> }) | null = null;
  /** Publications that a loop has not read yet. */
  readonly #held = new Queue<Publication>();
  /** Loops that wait for a publication. Empty while a publication is held. */
  readonly #waiting = new Queue<Promised<Result>>();
  /** Error that the loop throws once, after the held publications. */
  #thrown: FanfareError | null = null;
  /** True if there is or was a loop, which throws the error that ends the subscription. */
  #hasLoop = false;
  #onRoom: (() => void) | null = null;

  constructor(settings: ReaderSettings) {
    this.#settings = settings;
    this.#isRecovered = settings.isContinued;
    this.#events = new Emitter(this.#onListenerFailure);
  }

  get ready(): Promise<void> {
    if (this.#ready === null) {
      let ends: Promised<void> | undefined;
      const promise = new Promise<void>((resolve, reject) => {
        ends = { resolve, reject };
      });
      this.#ready = Object.assign({ promise }, ends as unknown as Promised<void>);
      if (this.#wasReady) this.#ready.resolve();
      else if (this.#state.name === 'unsubscribed') this.#ready.reject(reasonOf(this.#state));
    }
    return this.#ready.promise;
  }

  get topic(): string {
    return this.#settings.topic;
  }

  get state(): SubscriptionState {
    return this.#state;
  }

  on<Name extends keyof SubscriptionEvents>(
    name: Name,
    listener: (event: SubscriptionEvents[Name]) => unknown,
  ): () => void {
    return this.#events.on(name, listener);
  }

  unsubscribe(): void {
    this.discard('unsubscribed');
  }

  [Symbol.dispose](): void {
    this.unsubscribe();
  }

  [Symbol.asyncIterator](): AsyncIterator<Publication, undefined> {
    this.#hasLoop = true;
    if (this.#settings.listener === null) return this;
    throw new TypeError('A subscription with a listener cannot be read with a loop.');
  }

  next(): Promise<Result> {
    const value = this.#held.shift();
    if (value !== undefined) {
      this.consumed.check();
      this.#notifyIfRoom();
      return Promise.resolve({ done: false, value });
    }
    if (this.#thrown !== null) {
      const error = this.#thrown;
      this.#thrown = null;
      return Promise.reject(error);
    }
    if (this.#state.name === 'unsubscribed') return Promise.resolve(done);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Called when a loop is left. */
  return(): Promise<Result> {
    this.unsubscribe();
    return Promise.resolve(done);
  }

  /** The node has confirmed. `position` is the topic's newest position; null if it keeps no history. */
  confirm(position: Position | null): void {
    if (this.#state.name !== 'subscribing') return;
    this.#state = { name: 'subscribed' };
    this.#becomeReady();
    this.#events.emit('subscribed', { position, recovered: position !== null && this.#isRecovered });
  }

  /** The confirmation is no longer valid, or the node refused it temporarily. */
  interrupt(error: FanfareError | null): void {
    if (this.#state.name === 'unsubscribed') return;
    if (this.#state.name === 'subscribed') this.#isRecovered = true;
    this.#state = { name: 'subscribing', error: null };
    if (error !== null) this.refuse(error);
  }

  /** The history cannot be read, temporarily or permanently. */
  refuse(error: FanfareError): void {
    if (this.#state.name === 'subscribing') this.#state = { name: 'subscribing', error };
    this.fail(error);
  }

  /**
   * Calls back when there is room for more history: a loop has read half of `maxBufferedPublications`. `ready` does not
   * wait for that: an application that awaits `ready` before its loop would wait forever.
   */
  whenRoom(onRoom: () => void): void {
    this.#onRoom = onRoom;
    this.#notifyIfRoom();
    if (this.#onRoom !== null) this.#becomeReady();
  }

  deliver(publication: Publication): void {
    if (this.#state.name === 'unsubscribed') return;
    const { listener, maxBufferedPublications } = this.#settings;
    if (listener !== null) return call(listener, publication, this.#onListenerFailure);
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) waiting.resolve({ done: false, value: publication });
    else if (this.#held.size < maxBufferedPublications) this.#held.push(publication);
    else this.end(new FanfareError('slowConsumer'));
  }

  gap(event: SubscriptionEvents['gap']): void {
    this.#isRecovered = false;
    if (this.#state.name !== 'unsubscribed') this.#events.emit('gap', event);
  }

  reset(event: SubscriptionEvents['reset']): void {
    this.#isRecovered = false;
    if (this.#state.name !== 'unsubscribed') this.#events.emit('reset', event);
  }

  /** Reports an error that does not end the subscription. */
  fail(error: FanfareError): void {
    if (this.#state.name === 'unsubscribed') return;
    if (!this.#events.emit('error', error)) this.#settings.report(error);
  }

  /**
   * Ends the subscription: with an error, or with a code if the application ends it. A loop gets the held publications,
   * then the error.
   */
  end(why: FanfareError | ErrorCode): void {
    if (this.#state.name === 'unsubscribed') return;
    const [code, error] = typeof why === 'string' ? [why, null] : [why.code, why];
    this.#state = { name: 'unsubscribed', code, error };
    this.#settings.onEnd(this);
    this.#ready?.reject(reasonOf({ code, error }));
    const first = this.#waiting.shift();
    if (error === null) first?.resolve(done);
    else if (first !== undefined) first.reject(error);
    else this.#thrown = error;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next.resolve(done);
    this.consumed.check();
    if (error !== null) {
      const isKnown =
        this.#events.emit('error', error) ||
        (this.#settings.listener === null && (this.#hasLoop || this.#ready !== null));
      // The client has already reported that it is disconnected.
      if (!isKnown && code !== 'disconnected') this.#settings.report(error);
    }
    this.#events.emit('unsubscribed', { code, error });
  }

  /** Ends the subscription at once and drops held publications. */
  discard(code: ErrorCode): void {
    this.#held.clear();
    this.#thrown = null;
    this.end(code);
    this.consumed.check();
  }

  readonly #onListenerFailure = (cause: unknown): void => this.#settings.report(listenerFailed(this.topic, cause));

  #becomeReady(): void {
    this.#wasReady = true;
    this.#ready?.resolve();
  }

  #notifyIfRoom(): void {
    if (this.#onRoom === null || this.#held.size > this.#settings.maxBufferedPublications / 2) return;
    const onRoom = this.#onRoom;
    this.#onRoom = null;
    onRoom();
  }
}
