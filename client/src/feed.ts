/**
 * One topic: subscribes at the node once for all subscriptions of this client, and delivers its publications to them.
 */
import type { Position, Subscribed, TopicPush } from '@fanfare/protocol';
import { type Beginning, CatchUp, type CatchUpSettings } from './catch-up.js';
import type { Connection } from './connection.js';
import { Cursor, moved } from './cursor.js';
import { Delivery } from './delivery.js';
import { type ErrorCode, FanfareError, ReplyError } from './errors.js';
import type { Levels } from './levels.js';
import { reconnectDelayMs } from './reconnect.js';
import { Repair } from './repair.js';
import type { Answer } from './requests.js';
import type { Check } from './schemas.js';
import { closure } from './state.js';
import type { GapReason, Reader } from './subscription.js';

export interface FeedSettings extends CatchUpSettings {
  readonly levels: Levels;
  /** The newest open connection; null if there is none. */
  readonly connection: () => Connection | null;
}

/** Notifications of a feed. */
interface FeedListener {
  /** A node has confirmed the subscription. */
  onSubscribed(connection: Connection): void;
  /** A node answered, with or without an error. */
  onAnswered(): void;
}

/** The command was sent (publications may arrive before its reply: PROTOCOL.md 8.1), or the node has confirmed it. */
type Subscription = 'asked' | 'subscribed';

export class Feed {
  readonly topic: string;
  readonly readers = new Set<Reader>();
  readonly #settings: FeedSettings;
  readonly #listener: FeedListener;
  readonly #check: Check | null;
  readonly #cursor: Cursor;
  readonly #repair: Repair;
  readonly #delivery: Delivery;
  /** The connections that are subscribed: none while the feed waits for one, two during a move. */
  readonly #subscriptions = new Map<Connection, Subscription>();
  /** True if readers have got their `subscribed` event. */
  #isConfirmed = false;
  /** True if something arrived on these connections. Without positions, the next connection then begins with a gap. */
  #isHeard = false;
  #hasGap = false;
  #isDraining = false;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** Readers that begin with history, until they have caught up with the others. */
  readonly #catchUps = new Map<Reader, CatchUp>();
  /** Called when something was delivered or will not arrive. */
  #onProgress: (() => void) | null = null;

  constructor(topic: string, check: Check | null, settings: FeedSettings, listener: FeedListener) {
    this.topic = topic;
    this.#check = check;
    this.#settings = settings;
    this.#listener = listener;
    this.#delivery = new Delivery({
      topic,
      check,
      maxWaiting: settings.maxBufferedPublications,
      onIdle: () => this.#goOn(),
      onOverflow: () => this.end('slowConsumer', new FanfareError('slowConsumer')),
    });
    this.#cursor = new Cursor(settings.maxBufferedPublications, {
      onItems: (items, position) => {
        if (position === null) this.#joinAll();
        this.#delivery.take(items, position);
        if (position !== null) for (const catchUp of this.#catchUps.values()) catchUp.onItems(items, position);
      },
      onGap: (reason, position) => {
        this.#notifyGap(reason, position);
        for (const catchUp of this.#catchUps.values()) catchUp.onGap(position);
      },
      onReset: (position) => {
        this.#delivery.notify((reader) => reader.reset({ position }));
        for (const catchUp of this.#catchUps.values()) catchUp.onReset(position);
      },
    });
    this.#repair = new Repair(settings, {
      topic,
      cursor: this.#cursor,
      connection: this.#newest,
      onRefused: (error) => {
        for (const reader of [...this.#delivery.readers]) reader.refuse(error);
      },
      onAnswered: () => this.#goOn(),
    });
  }

  /** The connections that are subscribed or subscribing, and not unsubscribing. */
  get connections(): Connection[] {
    return this.#isDraining ? [] : [...this.#subscriptions.keys()];
  }

  /** `beginning`: the history that the reader gets first; null for new publications only. */
  add(reader: Reader, beginning: Beginning | null): void {
    this.readers.add(reader);
    if (beginning === null) this.#delivery.readers.add(reader);
    else this.#catchUps.set(reader, this.#catchUp(reader, beginning));
    // Not synchronously: the caller of subscribe() has not added its listeners yet.
    queueMicrotask(() => {
      const { position } = this.#cursor;
      const catchUp = this.#catchUps.get(reader);
      if (catchUp === undefined) {
        if (this.#isConfirmed) reader.confirm(position);
      } else if (this.#isSubscribed) {
        this.#start(catchUp, position, false);
        this.#advance(catchUp);
      }
    });
  }

  #catchUp(reader: Reader, beginning: Beginning): CatchUp {
    const onProgress = (): void => this.#goOn();
    const parts = { topic: this.topic, check: this.#check, reader, beginning, connection: this.#newest, onProgress };
    return new CatchUp(parts, this.#settings);
  }

  /**
   * Subscribes on the newest connection. Does nothing if the topic is already subscribed there, or if there is no
   * connection yet.
   */
  subscribe(): void {
    const connection = this.#settings.connection();
    if (connection === null || this.#isDraining || this.#subscriptions.has(connection)) return;
    const since = this.#cursor.position;
    // Without positions duplicates cannot be detected, so such a topic uses one connection at a time.
    if (since === null && this.#subscriptions.size > 0) return;
    clearTimeout(this.#retry);
    this.#subscriptions.set(connection, 'asked');
    const { topic } = this;
    this.#settings.requests.ask(
      connection,
      (id) => ({ type: 'subscribe', id, topic, since }),
      this.#settings.timeoutMs,
      (answer) => this.#onAnswer(answer, connection, since),
    );
  }

  /**
   * True if closing `from` now would lose publications: the topic keeps history, and is confirmed on `from` but not on
   * `to`.
   */
  needs(from: Connection, to: Connection): boolean {
    const isOn = (connection: Connection): boolean => this.#subscriptions.get(connection) === 'subscribed';
    return this.#cursor.position !== null && isOn(from) && !isOn(to);
  }

  /** The connection was lost. */
  lost(connection: Connection): void {
    if (!this.#subscriptions.delete(connection)) return;
    this.#cursor.settle();
    this.#repair.stop();
    for (const catchUp of this.#catchUps.values()) catchUp.lost();
    if (this.#isSubscribed) return this.#goOn();
    this.#hasGap ||= this.#isHeard;
    this.#isHeard = false;
    this.#interrupt(null);
    this.#onProgress?.();
  }

  /** The client drains. Returns the connections on which to unsubscribe. */
  drain(): Connection[] {
    const { connections } = this;
    this.#isDraining = true;
    return connections;
  }

  /** A reader ended. */
  remove(reader: Reader): void {
    this.readers.delete(reader);
    this.#delivery.readers.delete(reader);
    this.#catchUps.get(reader)?.stop();
    this.#catchUps.delete(reader);
    this.#onProgress?.();
  }

  /** The last reader ended. */
  stop(): void {
    clearTimeout(this.#retry);
    this.#repair.stop();
    this.#subscriptions.clear();
    this.#isConfirmed = false;
    this.#cursor.clear();
    this.#delivery.clear();
    this.#onProgress?.();
  }

  /**
   * The node ended the subscription on this connection. During a move the other connection stays subscribed, or its
   * node ends it too.
   */
  onEnded(error: ReplyError, connection: Connection): void {
    if (this.#subscriptions.size > 1) return this.lost(connection);
    if (this.#subscriptions.delete(connection)) this.end(error.code, error);
  }

  end(code: ErrorCode, error: FanfareError | null): void {
    for (const reader of [...this.readers]) reader.end(code, error);
  }

  onPush(push: TopicPush): void {
    this.#isHeard = true;
    if (push.type === 'publications') this.#cursor.onPublications(push);
    else if (push.type === 'reset') this.#cursor.onReset(push.position);
    else if (push.position !== null) this.#cursor.onGap(push.position);
    else this.#notifyGap('node', null);
    this.#goOn();
  }

  /** Resolves when everything that arrived is delivered: nothing waits for the history or a schema. */
  async settled(): Promise<void> {
    while (!this.#isSettled) {
      await new Promise<void>((resolve) => {
        this.#onProgress = resolve;
      });
    }
  }

  get #isSettled(): boolean {
    const catchUps = [...this.#catchUps.values()];
    const hasHole = this.#cursor.hasHole || catchUps.some((catchUp) => catchUp.hasHole);
    const isIdle = this.#delivery.isIdle && catchUps.every((catchUp) => catchUp.isIdle);
    return isIdle && !(hasHole && this.#subscriptions.size > 0);
  }

  /** The connection to read the history from. */
  readonly #newest = (): Connection | null => [...this.#subscriptions.keys()].at(-1) ?? null;

  get #isSubscribed(): boolean {
    return [...this.#subscriptions.values()].includes('subscribed');
  }

  #onAnswer(answer: Answer, connection: Connection, since: Position | null): void {
    // Cancelled in the meantime: there are no readers, or the connection was lost and the client subscribes again on
    // the next one.
    if (this.#subscriptions.get(connection) !== 'asked') return;
    if (!(answer instanceof FanfareError)) this.#onSubscribed(answer as Subscribed, connection, since);
    // It is unknown whether the node has subscribed.
    else if (answer.code === 'timeout') connection.drop(closure('replyTimeout'));
    else if (answer instanceof ReplyError) this.#onRefused(answer, connection);
    this.#listener.onAnswered();
  }

  #onRefused(error: ReplyError, connection: Connection): void {
    this.#subscriptions.delete(connection);
    // The node refused an earlier unsubscribe (`rateLimited`), and this error has no position: end that subscription
    // first.
    const isLeftOver = error.code === 'alreadySubscribed';
    if (!error.retryable && !isLeftOver) return this.end(error.code, error);
    this.#retry = setTimeout(
      () => {
        if (isLeftOver && connection.isOpen) this.#unsubscribe(connection);
        this.subscribe();
      },
      reconnectDelayMs(this.#failures++, this.#settings),
    );
    if (this.#subscriptions.size === 0) this.#interrupt(isLeftOver ? null : error);
  }

  #unsubscribe(connection: Connection): void {
    const { requests, timeoutMs } = this.#settings;
    const { topic } = this;
    requests.ask(
      connection,
      (id) => ({ type: 'unsubscribe', id, topic }),
      timeoutMs,
      () => {},
    );
  }

  #onSubscribed(reply: Subscribed, connection: Connection, since: Position | null): void {
    const { position } = reply;
    this.#subscriptions.set(connection, 'subscribed');
    this.#failures = 0;
    this.#settings.levels.learn(this.topic, position !== null);
    this.#listener.onSubscribed(connection);
    // Without a position before and after, missed publications cannot be detected.
    if (since === null ? this.#hasGap : position === null) {
      this.#notifyGap('reconnected', position && moved(position, -reply.publications.length));
    }
    this.#hasGap = false;
    this.#isHeard = true;
    if (position === null) this.#joinAll();
    this.#cursor.onSubscribed(reply, since);
    const at = this.#cursor.position;
    // A reply of another epoch is late, from a node that lags.
    const isCertain = at?.epoch === position?.epoch;
    for (const catchUp of this.#catchUps.values()) this.#start(catchUp, isCertain ? position : at, isCertain);
    this.#goOn();
    // Another connection may have opened meanwhile.
    this.subscribe();
  }

  #start(catchUp: CatchUp, join: Position | null, isCertain: boolean): void {
    if (catchUp.hasStarted || catchUp.reader.state.name === 'unsubscribed') return;
    if (join !== null) return catchUp.start(join, isCertain);
    catchUp.startWithout();
    this.#join(catchUp);
  }

  /** The topic keeps no history: readers that asked for history get live publications only. */
  #joinAll(): void {
    for (const catchUp of this.#catchUps.values()) {
      catchUp.startWithout();
      this.#join(catchUp);
    }
  }

  #join({ reader }: CatchUp): void {
    this.#catchUps.delete(reader);
    this.#delivery.join(reader, () => {
      if (this.#isConfirmed) reader.confirm(this.#cursor.position);
    });
  }

  /** Call this after anything that may have opened or closed a hole. */
  #goOn(): void {
    this.#repair.goOn();
    for (const catchUp of this.#catchUps.values()) this.#advance(catchUp);
    if (!this.#isConfirmed && this.#isSubscribed && !this.#cursor.hasHole) {
      this.#isConfirmed = true;
      const { position } = this.#cursor;
      this.#delivery.notify((reader) => {
        if (this.#isConfirmed) reader.confirm(position);
      });
    }
    this.#onProgress?.();
  }

  #advance(catchUp: CatchUp): void {
    catchUp.goOn();
    if (!catchUp.hasStarted || catchUp.hasHole || !catchUp.isIdle) return;
    const { position, reader } = catchUp;
    const joint = this.#cursor.position;
    if (this.#isSubscribed) reader.confirm(position);
    if (position?.epoch === joint?.epoch && position?.offset === joint?.offset) this.#join(catchUp);
  }

  /** The confirmation is no longer valid, or the node refused temporarily. */
  #interrupt(error: FanfareError | null): void {
    this.#isConfirmed = false;
    for (const reader of [...this.readers]) reader.interrupt(error);
  }

  #notifyGap(reason: GapReason, position: Position | null): void {
    this.#delivery.notify((reader) => reader.gap({ reason, position }));
  }
}
