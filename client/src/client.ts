/** The client: wires the parts, and is what applications hold. Read this first. */
import type { ClientCodec, ServerMessage } from '@fanfare/protocol';
import { addressOf } from './address.js';
import { beginningOf, type SubscribeOptions } from './catch-up.js';
import type { Connection } from './connection.js';
import { DebugLog } from './debug-log.js';
import { Emitter } from './emitter.js';
import { ConnectionError, drainedLate, FanfareError, listenerFailed, ReplyError } from './errors.js';
import { Feeds } from './feeds.js';
import { Histories, type HistoryOf, type HistoryOptions, maxReads } from './histories.js';
import { Levels } from './levels.js';
import { Link } from './link.js';
import {
  type CommonOptions,
  completeLimits,
  type Limits,
  optionNames,
  refuseMisfits,
  refuseUnknown,
} from './options.js';
import { Outbox } from './outbox.js';
import { Pacer } from './pacer.js';
import { type Acknowledgement, assertTopic, Publisher, type PublishOptions } from './publisher.js';
import { Requests } from './requests.js';
import { SchemaTable } from './schemas.js';
import { Slots } from './slots.js';
import type { Closure, ConnectionState, StateCode } from './state.js';
import type { Listener, PublicationOf, SubscriptionOf } from './subscription.js';
import type { AnyTopics, DataOf, Schemas } from './topics.js';
import type { WebSocketConstructor } from './websocket.js';

export interface ClientEvents {
  /** The connection has entered a state. */
  state: ConnectionState;
  /**
   * What went wrong where nobody waits for it: a listener that threw, a publication that could not be handed out, a publication
   * sent with `send()` that the node refused. Without a listener here it is written to the console.
   */
  error: FanfareError;
}

/**
 * A connection to a Fanfare broker that comes back by itself, and all that is published and subscribed over it.
 * `Published` and `Received` map topics to data; they differ only where schemas transform.
 */
// The methods say `keyof … & string`, not TopicOf: of a misspelled topic the compiler then lists the right ones.
export class Client<Published extends object = AnyTopics, Received extends object = Published> {
  readonly #limits: Limits;
  readonly #events: Emitter<ClientEvents>;
  readonly #outbox: Outbox;
  readonly #requests: Requests;
  readonly #publisher: Publisher;
  readonly #feeds: Feeds;
  readonly #histories: Histories;
  readonly #link: Link;
  readonly #debug: DebugLog;
  /** Null if the URL is a path and there is no page. */
  readonly #address: string | null;
  readonly #isEager: boolean;
  /** What {@link connect} has returned, until it settles. */
  #connected: Promise<void> | null = null;
  #draining: Promise<void> | null = null;

  /** @internal Use `createClient`. */
  constructor(
    url: string | URL,
    options: CommonOptions & { readonly schemas?: Schemas | undefined },
    codec: ClientCodec,
    webSocket: WebSocketConstructor | null,
  ) {
    if (webSocket === null)
      throw new FanfareError('invalidOption', {
        message: 'This platform has no WebSocket: pass one with the option webSocket.',
      });
    const { encoding = codec.encoding } = options as { encoding?: unknown };
    if (encoding !== codec.encoding) {
      throw new FanfareError('invalidOption', { message: `This client speaks ${codec.encoding}, not ${encoding}.` });
    }
    refuseUnknown('createClient()', options, optionNames);
    refuseMisfits(options);
    const limits = completeLimits(options);
    const report = this.#report;
    const schemas = options.schemas === undefined ? null : new SchemaTable(options.schemas);
    const debug = new DebugLog(options.debug ?? false);
    const policy = { ...limits, random: options.random ?? Math.random, debug };
    this.#limits = limits;
    this.#debug = debug;
    this.#address = addressOf(url);
    this.#isEager = options.autoConnect ?? true;
    this.#events = new Emitter((cause, name) => {
      const error = listenerFailed(name, cause);
      if (name === 'error') warn(error);
      else report(error);
    });
    const levels = new Levels();
    // Together below the thousand commands that wait at a node for its authorization hook.
    const [publications, commands] = [new Pacer(600), new Pacer(300)];
    const requests = new Requests(codec, commands, debug);
    const connection = (): Connection | null => this.#link.newest;
    const trouble = (): FanfareError | null => this.#link.trouble;
    this.#requests = requests;
    this.#outbox = new Outbox({ ...policy, codec, requests, levels, trouble, pacer: publications });
    this.#publisher = new Publisher({ ...limits, outbox: this.#outbox, schemas, report });
    const reads = new Slots(maxReads);
    this.#histories = new Histories({ ...limits, requests, reads, schemas, report, connection, trouble });
    this.#feeds = new Feeds({ ...policy, requests, reads, levels, schemas, report, connection });
    this.#link = new Link(
      {
        ...{ ...policy, url: this.#address ?? '', codec, webSocket, getToken: options.getToken ?? null },
        patienceMs: () => Math.min(this.#outbox.patienceMs, this.#histories.patienceMs),
      },
      {
        onOpen: () => {
          publications.restart();
          commands.restart();
          this.#feeds.subscribeAll();
          this.#histories.askAll();
        },
        onConnected: (connection) => this.#outbox.resume(connection),
        onMessage: (message, connection) => this.#onMessage(message, connection),
        onLost: (connection, closure) => this.#onLost(connection, closure),
        onEnd: (closure) => this.#onEnd(closure),
        onMove: (from, to, onMoved) => this.#move(from, to, onMoved),
        onStay: () => this.#outbox.stay(),
        onTrouble: report,
        onState: (state) => {
          debug.write('state', state);
          this.#events.emit('state', state);
        },
      },
    );
  }

  /** Whether the debug log is on: what leaves and comes, without data and tokens, and the states. It can be switched at any time. */
  get debug(): boolean {
    return this.#debug.isOn;
  }

  set debug(isWanted: boolean) {
    this.#debug.isWanted = isWanted;
  }

  get state(): ConnectionState {
    return this.#link.state;
  }

  /** Calls `listener` for each event from now on. Returns the function that ends that. */
  on<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => unknown): () => void {
    return this.#events.on(name, listener);
  }

  /**
   * Connects if the client is disconnected: with `autoConnect: false`, after `close()`, or after the node has ended the
   * connection for good. If it waits to try again, it tries at once. Resolves when connected, however many attempts that
   * takes. Rejects if the node ends the connection for good first, or if `close()` or `drain()` is called (then without an unhandled
   * rejection if nobody waits for it).
   */
  connect(): Promise<void> {
    const error = this.#whyNoAddress();
    if (error !== null) return Promise.reject(error);
    if (this.state.name === 'disconnected') this.#draining = null;
    this.#link.connect();
    this.#connected ??= this.#untilConnected();
    return this.#connected;
  }

  /**
   * Publishes to everyone who subscribes to the topic; resolves once the broker has accepted it. While there is no connection it
   * waits for one, up to `maxQueuedPublications` and `maxQueuedBytes`. What is refused for now, or was on its way when the connection
   * broke, is sent again until `timeoutMs` is over, and what is published to the topic meanwhile waits behind it. A topic that keeps
   * history gets it once all the same. On one that keeps none nobody could know: there it is sent again only while it is
   * certain that nobody got it, else this rejects (`connectionLost`, `unconfirmed`, `internal`).
   *
   * Rejects with a {@link FanfareError}; its `maybeDelivered` says whether subscribers may have got the publication all the same.
   */
  publish<Topic extends keyof Published & string>(
    topic: Topic,
    data: DataOf<Published, Topic>,
    options?: PublishOptions,
  ): Promise<Acknowledgement> {
    const error = this.#whyClosed();
    if (error !== null) return Promise.reject(error);
    const published = this.#publisher.publish(topic, data, options);
    this.#use(options?.timeoutMs);
    return published;
  }

  /**
   * Publishes without asking whether it arrived: end with `drain()`, not `close()`, where it should. Throws where it cannot be
   * sent at all: `invalidTopic`, `unknownTopic`, `invalidData`, `frameTooLarge`, `queueFull`, `closed`, `draining`. What turns out
   * later (an asynchronous schema, a first connection to a node that takes shorter frames) is an event `error`.
   */
  send<Topic extends keyof Published & string>(topic: Topic, data: DataOf<Published, Topic>): void {
    this.#assertOpen();
    this.#publisher.send(topic, data);
    this.#use();
  }

  /**
   * Subscribes to a topic, now and after each reconnect. With a listener, that is called for each publication, in order; without
   * one, read the subscription with `for await`. Several subscriptions to one topic share one at the node.
   *
   * It begins with what is published from now on; with `{ last: 50 }` with the last 50 that the topic's history has, with
   * `{ since: position }` with what came after that position. `ready` resolves when that has been handed out.
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
      const message =
        'subscribe() takes a topic, optional options (an object) and an optional listener (a function), in this order.';
      throw new FanfareError('invalidOption', { message });
    }
    const given = (options ?? {}) as SubscribeOptions;
    const beginning = beginningOf(given);
    const reader = this.#feeds.read(topic, (listener ?? null) as Listener | null, beginning);
    this.#use();
    // What comes on a topic is what its map says: by the schema, or by the word of the author of the map.
    return reader as unknown as SubscriptionOf<Received, Topic>;
  }

  /**
   * Reads what a topic's history has after `since`, or before it; from the oldest, or the newest, where that is left out. It may hold
   * less than `limit` and than there is: ask again, from the last position. Waits for a connection, `timeoutMs` at most.
   *
   * Rejects with `noHistory` where the topic keeps none; `invalidTopic`, `invalidOption`, `unknownTopic`, `timeout`, `closed`,
   * `draining`, and what the node says.
   */
  history<Topic extends keyof Received & string>(
    topic: Topic,
    options?: HistoryOptions,
  ): Promise<HistoryOf<PublicationOf<Received, Topic>>> {
    const error = this.#whyClosed();
    if (error !== null) return Promise.reject(error);
    const read = this.#histories.read(topic, options);
    this.#use();
    return read as Promise<HistoryOf<PublicationOf<Received, Topic>>>;
  }

  /**
   * Ends everything at once: loops finish, unanswered and waiting publishes reject with `closed`. Resolves when the socket
   * is closed; nothing keeps the process alive after that.
   */
  close(): Promise<void> {
    return this.#link.disconnect('closedByClient');
  }

  /**
   * An orderly end: takes no new publishes and subscriptions, unsubscribes, waits until all that was published is settled, all
   * that was sent has reached the node and all that had come is read, and closes. After `drainTimeoutMs` it closes all the same,
   * and rejects with `timeout`. A `close()` meanwhile ends it at once.
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
    while (this.state.name === 'connecting') {
      await new Promise<void>((resolve) => {
        const stop = this.on('state', () => {
          stop();
          resolve();
        });
      });
    }
    this.#connected = null;
    const { state } = this;
    if (state.name === 'disconnected') {
      throw new ConnectionError(endCode(state.code), state.closeCode, { message: state.reason });
    }
  }

  async #drain(): Promise<void> {
    let stop = (): void => {};
    const over = new Promise<void>((resolve, reject) => {
      const { drainTimeoutMs } = this.#limits;
      const timer = setTimeout(() => reject(drainedLate(drainTimeoutMs, this.#link.trouble)), drainTimeoutMs);
      const stopListening = this.on('state', ({ name }) => name === 'disconnected' && resolve());
      stop = () => {
        clearTimeout(timer);
        stopListening();
      };
    });
    try {
      // Disconnected here, it has never been connected: nothing will ever leave.
      if (this.state.name !== 'disconnected') await Promise.race([this.#finish(), over]);
    } finally {
      stop();
      await this.#link.disconnect('drained');
    }
  }

  async #finish(): Promise<void> {
    await Promise.all([this.#feeds.drain(), this.#publisher.settled(), this.#outbox.empty()]);
    // Handed to the socket is not delivered. Commands are carried out in order: the answer to a last one says that all were.
    await new Promise<unknown>((resolve) => this.#ping(this.#link.connection, this.#limits.drainTimeoutMs, resolve));
  }

  #ping(connection: Connection | null, timeoutMs: number, onAnswer: (answer: unknown) => void): void {
    if (connection === null) onAnswer(null);
    else this.#requests.ask(connection, (id) => ({ type: 'ping', id }), timeoutMs, onAnswer);
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
    // An error without an id answers what was sent without one: a publication of send(), as a rule.
    const error = ReplyError.of(message);
    if (error.code === 'rateLimited') this.#outbox.onSendLimited(error);
    this.#report(error);
  }

  /** Subscriptions first, each to both connections for a while; then publications, each to one of them. */
  #move(from: Connection, to: Connection, onMoved: () => void): void {
    const { timeoutMs } = this.#limits;
    this.#feeds.move(from, to, () => {
      this.#outbox.pause();
      // What send() sent is not answered; commands are carried out in order.
      this.#ping(from, timeoutMs, () => this.#outbox.whenQuiet(timeoutMs, onMoved));
    });
  }

  #onLost(connection: Connection, { closeCode, reason: message }: Closure): void {
    this.#outbox.lost(connection);
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
    this.#outbox.failAll(
      ({ maybeDelivered, refusal: cause }) =>
        new ConnectionError(errorCode, closeCode, { message, maybeDelivered, cause }),
    );
    this.#histories.failAll(error);
    this.#requests.failAll(error);
    this.#publisher.clear();
    if (errorCode === 'closed') {
      // That a connect() ends with it is no failure for anyone to hear of, unless somebody waits for it.
      this.#connected?.catch(() => {});
      return this.#feeds.discardAll('closed');
    }
    this.#feeds.endAll('disconnected', error);
    this.#report(error);
  }

  /**
   * Connects if that is not done yet. `timeoutMs`: how long what needs the connection waits for it. It has to wait already: a listener
   * that is called here may close the client, and ends what waits.
   */
  #use(timeoutMs = this.#limits.timeoutMs): void {
    if (this.#isEager && this.state.name === 'disconnected') this.#link.connect();
    this.#link.expect(timeoutMs);
  }

  #assertOpen(): void {
    const error = this.#whyClosed();
    if (error !== null) throw error;
  }

  #whyNoAddress(): FanfareError | null {
    if (this.#address !== null) return null;
    const message =
      'The URL is a path, and there is no page to complete it: use a full URL such as ws://127.0.0.1:8080/ws.';
    return new FanfareError('invalidOption', { message });
  }

  /** Why nothing new is taken, or null where it is. */
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

/** Whether the application has ended the connection, or the node has. */
function endCode(code: StateCode): 'closed' | 'disconnected' {
  return code === 'closedByClient' || code === 'drained' ? 'closed' : 'disconnected';
}

/** What clients of all topic maps have in common: for code that watches or ends them. */
export type AnyClient = Omit<Client, 'publish' | 'send' | 'subscribe' | 'history'>;

function warn(error: FanfareError): void {
  // biome-ignore lint/suspicious/noConsole: the last resort for an error that nobody listens to; silence would be worse.
  console.warn('Fanfare:', error);
}
