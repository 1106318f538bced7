/** One reader of a topic: its state, its events, and its publications as a loop or a callback. */
import type { Position } from '@fanfare/protocol';
import type { ReadonlyData } from './data-types.js';
import { call, Emitter } from './emitter.js';
import { type ErrorCode, FanfareError, listenerFailed } from './errors.js';
import { Queue } from './queue.js';
import type { TopicOf } from './topics.js';

export interface Publication<Topic extends string = string, Data = unknown> {
  readonly topic: Topic;
  /** Subscriptions of one client to one topic get the same object: it must not be written to. */
  readonly data: Data;
  /** Where the publication stands in the topic's history; null where the topic keeps none. */
  readonly position: Position | null;
}

/** The publications of a topic, or of any of several: then `topic` says which data it is. */
export type PublicationOf<Topics extends object, Topic extends TopicOf<Topics>> = Topic extends unknown
  ? Publication<Topic, ReadonlyData<Topics[Topic]>>
  : never;

/** The subscription to a topic, or to one of several. */
export type SubscriptionOf<Topics extends object, Topic extends TopicOf<Topics>> = Topic extends unknown
  ? Subscription<Topic, ReadonlyData<Topics[Topic]>>
  : never;

export type SubscriptionState =
  /** Asked for, or waiting for a connection. `error` is the last refusal, where that is being tried again. */
  | { readonly name: 'subscribing'; readonly error: FanfareError | null }
  /** What anyone publishes from now on arrives. */
  | { readonly name: 'subscribed' }
  /** For good. `code` is that of `error` where there is one. */
  | { readonly name: 'unsubscribed'; readonly code: ErrorCode; readonly error: FanfareError | null };

/**
 * Why publications are or may be missing: the topic keeps no history and the connection was away; the node says so; or history,
 * which was asked for them, does not reach back that far.
 */
export type GapReason = 'reconnected' | 'node' | 'history';

export interface SubscriptionEvents {
  /**
   * The node has confirmed the subscription, the first time or after the connection was away; then this comes once what was missed
   * has been handed out, or `gap` or `reset` have said that it cannot be. `recovered`: nothing was missed since the last time.
   * `position`: where the topic stood then; null where it keeps no history.
   */
  subscribed: { readonly position: Position | null; readonly recovered: boolean };
  /**
   * Publications may be missing between those that a listener got before and after this event. It does not wait for a
   * loop, which may hold publications of before. It goes on after `position`; null where the topic keeps no history.
   */
  gap: { readonly reason: GapReason; readonly position: Position | null };
  /**
   * The topic has a new history (another epoch): nobody knows what came between. Load again what was built from it. It goes
   * on after `position`. Like `gap`, it does not wait for a loop.
   */
  reset: { readonly position: Position };
  /**
   * A publication that could not be handed out (`undecodable`, `invalidData`: the ones after it still come), a refusal that is
   * tried again, or what ended the subscription. Without a listener here it goes to the client's event `error`. Of a subscription without
   * a listener for its publications, what ended it does so only if there is no loop to throw it, and nobody has read `ready`, which rejects.
   */
  error: FanfareError;
  /** The end. `error` is null where it was wanted. */
  unsubscribed: { readonly code: ErrorCode; readonly error: FanfareError | null };
}

/**
 * A subscription. Without a listener, read it with `for await`: leaving the loop unsubscribes, and only one loop gets
 * each publication.
 */
export interface Subscription<Topic extends string = string, Data = unknown>
  extends AsyncIterable<Publication<Topic, Data>> {
  readonly topic: Topic;
  readonly state: SubscriptionState;
  /**
   * Resolves when the node first confirms, and history to begin with has been handed out (or a loop has enough of it to read).
   * Rejects if the subscription ends before that. If nobody has read this property, the events `error` and `unsubscribed` are all that
   * reports it.
   */
  readonly ready: Promise<void>;
  /** Calls `listener` for each event from now on. Returns the function that ends that. */
  on<Name extends keyof SubscriptionEvents>(
    name: Name,
    listener: (event: SubscriptionEvents[Name]) => unknown,
  ): () => void;
  /** Ends the subscription at once: nothing more is handed out, a loop over it finishes. `using` does it too. */
  unsubscribe(): void;
  [Symbol.dispose](): void;
}

export type Listener = (publication: Publication) => unknown;

export interface ReaderSettings {
  readonly topic: string;
  /** Null: publications are held for a loop. */
  readonly listener: Listener | null;
  /** Whether it goes on from a position that the application knows. */
  readonly isContinued: boolean;
  readonly maxBufferedPublications: number;
  /** Called once, when the reader has ended. */
  readonly onEnd: (reader: Reader) => void;
  /** Takes errors that nobody listens to. */
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

/** The working side of a {@link Subscription}: what the feed of its topic calls. */
export class Reader implements Subscription, AsyncIterator<Publication, undefined> {
  readonly #settings: ReaderSettings;
  readonly #events: Emitter<SubscriptionEvents>;
  #state: SubscriptionState = { name: 'subscribing', error: null };
  #wasReady = false;
  /** Whether nothing was missed since the last confirmation, or since where it goes on from. */
  #isRecovered: boolean;
  /** Made when it is first asked for: the rejection of a promise that nobody has seen would be an unhandled one. */
  #ready: (Promised<void> & { readonly promise: Promise<void> }) | null = null;
  /** Publications for a loop that has not asked for them yet. */
  readonly #held = new Queue<Publication>();
  /** Loops that wait for a publication. None while one is held. */
  readonly #waiting = new Queue<Promised<Result>>();
  /** What the loop throws, once, behind what is held. */
  #thrown: FanfareError | null = null;
  /** Whether there is, or was, a loop: it throws what ends the subscription. */
  #hasLoop = false;
  #onConsumed: (() => void) | null = null;
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
    throw new TypeError(
      'This subscription has a listener, so it cannot be read with a loop. Subscribe without a listener.',
    );
  }

  next(): Promise<Result> {
    const value = this.#held.shift();
    if (value !== undefined) {
      this.#tellIfConsumed();
      this.#tellIfRoom();
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

  /** Leaving a loop comes here. */
  return(): Promise<Result> {
    this.unsubscribe();
    return Promise.resolve(done);
  }

  /** The node has confirmed. `position`: where the topic stands; null if it keeps no history. */
  confirm(position: Position | null): void {
    if (this.#state.name !== 'subscribing') return;
    this.#state = { name: 'subscribed' };
    this.#becomeReady();
    this.#events.emit('subscribed', { position, recovered: position !== null && this.#isRecovered });
  }

  /** The confirmation no longer holds, or was refused for now. */
  interrupt(error: FanfareError | null): void {
    if (this.#state.name === 'unsubscribed') return;
    if (this.#state.name === 'subscribed') this.#isRecovered = true;
    this.#state = { name: 'subscribing', error: null };
    if (error !== null) this.refuse(error);
  }

  /** Its history cannot be read, for now or for good. */
  refuse(error: FanfareError): void {
    if (this.#state.name === 'subscribing') this.#state = { name: 'subscribing', error };
    this.fail(error);
  }

  /**
   * Calls back once there is room for more history: a loop has read half of what it may hold. `ready` does not wait for that, because
   * an application that awaits it before its loop would wait forever.
   */
  whenRoom(onRoom: () => void): void {
    this.#onRoom = onRoom;
    this.#tellIfRoom();
    if (this.#onRoom !== null) this.#becomeReady();
  }

  deliver(publication: Publication): void {
    if (this.#state.name === 'unsubscribed') return;
    const { listener, maxBufferedPublications } = this.#settings;
    if (listener !== null) return call(listener, publication, this.#onListenerFailure);
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) waiting.resolve({ done: false, value: publication });
    else if (this.#held.size < maxBufferedPublications) this.#held.push(publication);
    else this.end('slowConsumer', new FanfareError('slowConsumer'));
  }

  gap(event: SubscriptionEvents['gap']): void {
    this.#isRecovered = false;
    if (this.#state.name !== 'unsubscribed') this.#events.emit('gap', event);
  }

  reset(event: SubscriptionEvents['reset']): void {
    this.#isRecovered = false;
    if (this.#state.name !== 'unsubscribed') this.#events.emit('reset', event);
  }

  /** Something went wrong that does not end the subscription. */
  fail(error: FanfareError): void {
    if (this.#state.name === 'unsubscribed') return;
    if (!this.#events.emit('error', error)) this.#settings.report(error);
  }

  /** The end. A loop gets what is held for it, then the error if there is one. */
  end(code: ErrorCode, error: FanfareError | null): void {
    if (this.#state.name === 'unsubscribed') return;
    this.#state = { name: 'unsubscribed', code, error };
    this.#settings.onEnd(this);
    this.#ready?.reject(reasonOf({ code, error }));
    const first = this.#waiting.shift();
    if (error === null) first?.resolve(done);
    else if (first !== undefined) first.reject(error);
    else this.#thrown = error;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next.resolve(done);
    this.#tellIfConsumed();
    if (error !== null) {
      const isKnown =
        this.#events.emit('error', error) ||
        (this.#settings.listener === null && (this.#hasLoop || this.#ready !== null));
      // That the client is disconnected is an event of the client already.
      if (!isKnown && code !== 'disconnected') this.#settings.report(error);
    }
    this.#events.emit('unsubscribed', { code, error });
  }

  /** The end, at once: what is held for a loop is dropped. */
  discard(code: ErrorCode): void {
    this.#held.clear();
    this.#thrown = null;
    this.end(code, null);
    this.#tellIfConsumed();
  }

  /** Resolves once the subscription has ended and all that was held has been read. */
  consumed(): Promise<void> {
    return new Promise((resolve) => {
      this.#onConsumed = resolve;
      this.#tellIfConsumed();
    });
  }

  readonly #onListenerFailure = (cause: unknown): void => this.#settings.report(listenerFailed(this.topic, cause));

  #becomeReady(): void {
    this.#wasReady = true;
    this.#ready?.resolve();
  }

  #tellIfRoom(): void {
    if (this.#onRoom === null || this.#held.size > this.#settings.maxBufferedPublications / 2) return;
    const onRoom = this.#onRoom;
    this.#onRoom = null;
    onRoom();
  }

  #tellIfConsumed(): void {
    if (this.#state.name === 'unsubscribed' && this.#held.size === 0) this.#onConsumed?.();
  }
}
