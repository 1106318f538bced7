/** The client that applications use. It connects all parts. Read this file first. */
import type { ClientCodec, ServerMessage } from '@fanfare/protocol';
import { addressOf, noPage } from './address.js';
import { beginningOf, type SubscribeOptions } from './catch-up.js';
import { Condition } from './condition.js';
import type { Connection } from './connection.js';
import { DebugLog } from './debug-log.js';
import { Emitter } from './emitter.js';
import { ConnectionError, FanfareError, invalidOption, listenerFailed, ReplyError, timedOut } from './errors.js';
import { Feeds } from './feeds.js';
import { Histories, type HistoryOf, type HistoryOptions } from './histories.js';
import { Levels } from './levels.js';
import { type CommonOptions, type Limits, limitsOf } from './options.js';
import { Pacer } from './pacer.js';
import { PublishQueue } from './publish-queue.js';
import { type Acknowledgement, assertTopic, Publisher, type PublishOptions, type SendOptions } from './publisher.js';
import { Reads } from './reads.js';
import { Reconnector } from './reconnector.js';
import { Requests } from './requests.js';
import { SchemaTable } from './schemas.js';
import type { Closure, ConnectionState, StateCode } from './state.js';
import type { Listener, PublicationOf, SubscriptionOf } from './subscription.js';
import type { AnyTopics, DataOf, Schemas } from './topics.js';
import type { WebSocketConstructor } from './websocket.js';

/** The events of a client. */
export interface ClientEvents {
  /** The connection entered a new state. */
  state: ConnectionState;
  /**
   * An error that no promise reports: a listener threw, a publication could not be delivered, or the node refused a
   * publication of `send()`. If this event has no listener, the client writes the error to the console.
   */
  error: FanfareError;
}

/**
 * A client of a Fanfare broker. It reconnects automatically and keeps its subscriptions. `Published` and `Received` map
 * topics to data; they differ only if schemas transform data.
 */
// The methods say `keyof … & string`, not TopicOf: the compiler then lists the valid topics if one is misspelled.
export class Client<Published extends object = AnyTopics, Received extends object = Published> {
  readonly #limits: Limits;
  readonly #events: Emitter<ClientEvents>;
  readonly #queue: PublishQueue;
  readonly #requests: Requests;
  readonly #publisher: Publisher;
  readonly #feeds: Feeds;
  readonly #histories: Histories;
  readonly #reconnector: Reconnector;
  readonly #debug: DebugLog;
  /** Null if the URL is a path and there is no page. */
  readonly #address: string | null;
  readonly #isEager: boolean;
  readonly #isDecided = new Condition(() => this.state.name !== 'connecting');
  readonly #isDisconnected = new Condition(() => this.state.name === 'disconnected');
  /** The promise of {@link connect}, until it settles. */
  #connected: Promise<void> | null = null;
  #draining: Promise<void> | null = null;

  /** @internal Use `createClient`. */
  constructor(
    url: string | URL,
    options: CommonOptions & { readonly schemas?: Schemas | undefined },
    codec: ClientCodec,
    webSocket: WebSocketConstructor | null,
  ) {
    if (webSocket === null) throw invalidOption('This platform has no WebSocket: use the option webSocket.');
    const { encoding = codec.encoding } = options as { encoding?: unknown };
    if (encoding !== codec.encoding) {
      throw invalidOption(`This client speaks ${codec.encoding}, not ${encoding}.`);
    }
    const limits = limitsOf(options);
    const report = this.#report;
    const debug = new DebugLog(options.debug ?? false);
    this.#limits = limits;
    this.#debug = debug;
    this.#address = addressOf(url);
    this.#isEager = options.autoConnect ?? true;
    this.#events = new Emitter((cause, name) => {
      const error = listenerFailed(name, cause);
      if (name === 'error') warn(error);
      else report(error);
    });
    const common = {
      ...{ ...limits, codec, webSocket, debug, report, url: this.#address ?? '', levels: new Levels() },
      random: options.random ?? Math.random,
      getToken: options.getToken ?? null,
      schemas: options.schemas === undefined ? null : new SchemaTable(options.schemas),
      connection: () => this.#reconnector.newest,
      trouble: () => this.#reconnector.trouble,
      patienceMs: () => Math.min(this.#queue.patienceMs, this.#histories.patienceMs),
    };
    // Together fewer than the thousand commands that may wait for the authorization hook of a node.
    const [publications, commands] = [new Pacer(600), new Pacer(300)];
    this.#requests = new Requests({ ...common, pacer: commands });
    const parts = { ...common, requests: this.#requests, reads: new Reads(this.#requests) };
    this.#queue = new PublishQueue({ ...parts, pacer: publications });
    this.#publisher = new Publisher({ ...common, queue: this.#queue });
    this.#histories = new Histories(parts);
    this.#feeds = new Feeds(parts);
    this.#reconnector = new Reconnector(common, {
      onOpen: () => {
        publications.restart();
        commands.restart();
        this.#feeds.subscribeAll();
        this.#histories.askAll();
      },
      onConnected: (connection) => this.#queue.resume(connection),
      onMessage: (message, connection) => this.#onMessage(message, connection),
      onLost: (connection, closure) => this.#onLost(connection, closure),
      onEnd: (closure) => this.#onEnd(closure),
      onMove: (from, to, onMoved) => this.#move(from, to, onMoved),
      onStay: () => this.#queue.stay(),
      onTrouble: report,
      onState: (state) => {
        debug.write('state', state);
        this.#events.emit('state', state);
        this.#isDecided.check();
        this.#isDisconnected.check();
      },
    });
  }

  /**
   * Whether the debug log is on. It logs commands, messages and states, without data and tokens. You can switch it at
   * any time.
   */
  get debug(): boolean {
    return this.#debug.isOn;
  }

  set debug(isWanted: boolean) {
    this.#debug.isWanted = isWanted;
  }

  /** The current state of the connection. */
  get state(): ConnectionState {
    return this.#reconnector.state;
  }

  /** Calls `listener` for each event from now on. Returns a function that removes the listener. */
  on<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => unknown): () => void {
    return this.#events.on(name, listener);
  }

  /**
   * Connects if the client is disconnected: with `autoConnect: false`, after `close()`, or after a close code that
   * stops reconnecting. If the client waits before its next attempt, it tries at once. Resolves when connected, after
   * any number of attempts. Rejects if the node closes the connection with such a code. Also rejects if you call
   * `close()` or `drain()`; that causes no unhandled rejection.
   */
  connect(): Promise<void> {
    const error = this.#whyNoAddress();
    if (error !== null) return Promise.reject(error);
    if (this.state.name === 'disconnected') this.#draining = null;
    this.#reconnector.connect();
    this.#connected ??= this.#untilConnected();
    return this.#connected;
  }

  /**
   * Publishes to all subscribers of the topic. Resolves after the broker has accepted the publication. If there is no
   * connection, the publication waits for one, up to `maxQueuedPublications` and `maxQueuedBytes`. If the node refuses
   * it temporarily, or the connection breaks before the answer, the client sends it again until `timeoutMs`. Later
   * publications to the topic wait for it.
   *
   * A topic that keeps history gets the publication once, however often it is sent. For a topic without history, the
   * client sends it again only if it is certain that nobody got it. Otherwise this rejects (`connectionLost`,
   * `unconfirmed`, `internal`).
   *
   * Rejects with a {@link FanfareError}. If its `maybeDelivered` is true, subscribers may have received the
   * publication.
   */
  publish<Topic extends keyof Published & string>(
    topic: Topic,
    data: DataOf<Published, Topic>,
    options?: PublishOptions,
  ): Promise<Acknowledgement> {
    return this.#call(() => this.#publisher.publish(topic, data, options), options?.timeoutMs);
  }

  /**
   * Publishes without an acknowledgement. To make sure that the publication reaches the node, end with `drain()`, not
   * `close()`. Throws if it cannot be sent: `invalidTopic`, `unknownTopic`, `invalidOption`, `invalidData`,
   * `frameTooLarge`, `queueFull`, `closed`, `draining`. Later failures (an asynchronous schema, a node with a smaller
   * frame limit) are `error` events.
   */
  send<Topic extends keyof Published & string>(
    topic: Topic,
    data: DataOf<Published, Topic>,
    options?: SendOptions,
  ): void {
    this.#assertOpen();
    this.#publisher.send(topic, data, options);
    this.#use();
  }

  /**
   * Subscribes to a topic, now and after each reconnect. If you pass a listener, the client calls it for each
   * publication, in order. Without a listener, read the subscription with `for await`. Several subscriptions to one
   * topic share one subscription at the node.
   *
   * By default it delivers new publications only. `{ last: 50 }` begins with the last 50 publications of the history;
   * `{ since: position }` begins with the publications after that position. `ready` resolves when that history has been
   * delivered.
   *
   * Throws `invalidTopic`, `invalidOption`, `unknownTopic`, `closed`, `draining`.
   */
  subscribe<Topic extends keyof Received & string>(
    topic: Topic,
    listener?: (publication: PublicationOf<Received, Topic>) => unknown,
  ): SubscriptionOf<Received, Topic>;
  subscribe<Topic extends keyof Received & string>(
    topic: Topic,
    options: SubscribeOptions | undefined,
    listener?: (publication: PublicationOf<Received, Topic>) => unknown,
  ): SubscriptionOf<Received, Topic>;
  subscribe<Topic extends keyof Received & string>(
    topic: Topic,
    ...rest: readonly unknown[]
  ): SubscriptionOf<Received, Topic> {
    this.#assertOpen();
    assertTopic(topic);
    const [options, listener, ...more] = typeof rest[0] === 'function' ? [undefined, ...rest] : rest;
    const fits =
      typeof (options ?? {}) === 'object' &&
      !Array.isArray(options) &&
      typeof (listener ?? assertTopic) === 'function' &&
      more.every((argument) => argument === undefined);
    if (!fits) {
      const message = 'subscribe() takes a topic, options (an object) and a listener (a function), in this order.';
      throw invalidOption(message);
    }
    const given = (options ?? {}) as SubscribeOptions;
    const beginning = beginningOf(given);
    const reader = this.#feeds.read(topic, (listener ?? null) as Listener | null, beginning);
    this.#use();
    // The data of a topic has the type in the topic map: a schema checks it, or the author of the map asserts it.
    return reader as unknown as SubscriptionOf<Received, Topic>;
  }

  /**
   * Reads the history of a topic after `since`, or before it with `direction: 'backward'`. Without `since` it begins
   * with the oldest publication, or backward with the newest. The result may have fewer publications than `limit`
   * although there are more: call it again from the last position. Waits for a connection, at most `timeoutMs`.
   *
   * Rejects with `noHistory` if the topic keeps no history, with `invalidTopic`, `invalidOption`, `unknownTopic`,
   * `timeout`, `closed`, `draining`, or with the error of the node.
   */
  history<Topic extends keyof Received & string>(
    topic: Topic,
    options?: HistoryOptions,
  ): Promise<HistoryOf<PublicationOf<Received, Topic>>> {
    const read = this.#call(() => this.#histories.read(topic, options));
    return read as Promise<HistoryOf<PublicationOf<Received, Topic>>>;
  }

  /**
   * Closes the client at once: loops end, and unanswered or waiting publishes reject with `closed`. Resolves when the
   * socket is closed. After that the client does not keep the process alive.
   */
  close(): Promise<void> {
    return this.#reconnector.disconnect('closedByClient');
  }

  /**
   * Closes the client gracefully. It accepts no new calls and unsubscribes. Then it waits until all publishes are
   * answered, all sends have reached the node, and loops have read everything. After `drainTimeoutMs` it closes anyway
   * and rejects with `timeout`. Call `close()` to end a drain at once.
   */
  drain(): Promise<void> {
    if (this.#draining !== null) return this.#draining;
    const error = this.#whyClosed();
    if (error !== null) return Promise.reject(error);
    this.#draining = this.#drain();
    return this.#draining;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #untilConnected(): Promise<void> {
    await this.#isDecided.met();
    this.#connected = null;
    const { state } = this;
    if (state.name === 'disconnected') {
      throw new ConnectionError(endCode(state.code), state.closeCode, { message: state.reason });
    }
  }

  async #drain(): Promise<void> {
    const { drainTimeoutMs } = this.#limits;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((_resolve, reject) => {
      const what = `drain() took longer than drainTimeoutMs (${drainTimeoutMs} ms). Everything that was still waiting is dropped.`;
      const onTimeout = (): void => reject(timedOut(drainTimeoutMs, undefined, this.#reconnector.trouble, false, what));
      timer = setTimeout(onTimeout, drainTimeoutMs);
    });
    try {
      // If it is disconnected here, it was never connected, and there is nothing to finish.
      if (this.state.name !== 'disconnected') await Promise.race([this.#finish(), this.#isDisconnected.met(), late]);
    } finally {
      clearTimeout(timer);
      await this.#reconnector.disconnect('drained');
    }
  }

  async #finish(): Promise<void> {
    await Promise.all([this.#feeds.drain(), this.#publisher.idle.met(), this.#queue.empty.met()]);
    // Written to the socket does not mean received. The node handles commands in order, so the answer to a last ping
    // confirms all of them.
    await new Promise<unknown>((resolve) =>
      this.#ping(this.#reconnector.connection, this.#limits.drainTimeoutMs, resolve),
    );
  }

  #ping(connection: Connection | null, timeoutMs: number, onAnswer: (answer: unknown) => void): void {
    if (connection === null) onAnswer(null);
    else this.#requests.ask(connection, { type: 'ping' }, onAnswer, { timeoutMs });
  }

  #onMessage(message: ServerMessage, connection: Connection): void {
    switch (message.type) {
      case 'publications':
      case 'gap':
      case 'reset':
        return this.#feeds.onPush(message, connection);
      case 'connected':
      case 'goaway':
        return;
      case 'unsubscribed':
        if (message.code !== null) return this.#feeds.onEnded(message, connection);
        break;
    }
    if (this.#requests.answer(message, connection) || message.type !== 'error' || message.id !== null) return;
    // An error without an id answers a command without an id, usually a publication of send().
    const error = ReplyError.of(message);
    if (error.code === 'rateLimited') this.#queue.onSendLimited(error);
    this.#report(error);
  }

  /** Moves subscriptions first, for a while on both connections. Then moves publications, each on one connection. */
  #move(from: Connection, to: Connection, onMoved: () => void): void {
    const { timeoutMs } = this.#limits;
    this.#feeds.move(from, to, () => {
      this.#queue.pause();
      // Publications of send() get no answer. The node handles commands in order, so a ping confirms them.
      this.#ping(from, timeoutMs, () => this.#queue.whenQuiet(timeoutMs, onMoved));
    });
  }

  #onLost(connection: Connection, { closeCode, reason: message }: Closure): void {
    this.#queue.lost(connection);
    this.#requests.lost(
      connection,
      new ConnectionError('connectionLost', closeCode, { message, maybeDelivered: true }),
    );
    this.#feeds.lost(connection);
    this.#histories.askAll();
  }

  #onEnd({ code, closeCode, reason: message }: Closure): void {
    const errorCode = endCode(code);
    const error = new ConnectionError(errorCode, closeCode, { message });
    this.#queue.failAll(
      ({ maybeDelivered, refusal: cause }) =>
        new ConnectionError(errorCode, closeCode, { message, maybeDelivered, cause }),
    );
    this.#histories.failAll(error);
    this.#requests.failAll(error);
    this.#publisher.clear();
    if (errorCode === 'closed') {
      // A connect() that ends with close() is not an unhandled rejection.
      this.#connected?.catch(() => {});
      return this.#feeds.discardAll();
    }
    this.#feeds.endAll(error);
    this.#report(error);
  }

  /**
   * Connects on first use. `timeoutMs` is how long the caller waits for the connection. Enqueue the caller before this:
   * a state listener that runs here may close the client, and that must end the caller too.
   */
  #use(timeoutMs = this.#limits.timeoutMs): void {
    if (this.#isEager && this.state.name === 'disconnected') this.#reconnector.connect();
    this.#reconnector.expect(timeoutMs);
  }

  /** Begins a call. Rejects if the client accepts no calls. */
  #call<Result>(begin: () => Promise<Result>, timeoutMs?: number): Promise<Result> {
    const error = this.#whyClosed();
    if (error !== null) return Promise.reject(error);
    const result = begin();
    this.#use(timeoutMs);
    return result;
  }

  #assertOpen(): void {
    const error = this.#whyClosed();
    if (error !== null) throw error;
  }

  #whyNoAddress(): FanfareError | null {
    if (this.#address !== null) return null;
    return invalidOption(noPage);
  }

  /** Why the client accepts no new calls; null if it accepts them. */
  #whyClosed(): FanfareError | null {
    const { state } = this;
    if (this.#address === null) return this.#whyNoAddress();
    if (this.#draining !== null) return new FanfareError('draining');
    if (state.name !== 'disconnected' || state.code === 'notConnected') return null;
    return new ConnectionError('closed', state.closeCode, {
      message: `The client is closed (${state.code}). Call connect() to use it again.`,
    });
  }

  readonly #report = (error: FanfareError): void => {
    if (!this.#events.emit('error', error)) warn(error);
  };
}

/** `closed` if the application ended the connection, `disconnected` if the node did. */
function endCode(code: StateCode): 'closed' | 'disconnected' {
  return code === 'closedByClient' || code === 'drained' ? 'closed' : 'disconnected';
}

/** The common part of all clients, whatever their topic map: for code that monitors or closes clients. */
export type AnyClient = Omit<Client, 'publish' | 'send' | 'subscribe' | 'history'>;

function warn(error: FanfareError): void {
  // biome-ignore lint/suspicious/noConsole: last resort for an error without a listener; silence would be worse.
  console.warn('Fanfare:', error);
}
