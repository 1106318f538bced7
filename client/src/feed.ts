/** One topic: subscribes at the node once for all subscriptions of this client, and delivers its publications to them. */
import type { Position, Subscribed, TopicPush } from '@fanfare/protocol';
import { type Beginning, CatchUp, type CatchUpSettings } from './catch-up.js';
import type { Connection } from './connection.js';
import { Delivery } from './delivery.js';
import { type ErrorCode, FanfareError, ReplyError } from './errors.js';
import type { Levels } from './levels.js';
import { Line, moved } from './line.js';
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

/** What a feed tells the other side. */
export interface FeedListener {
  /** A node has confirmed the subscription. */
  onSubscribed(connection: Connection): void;
  /** A node has answered, well or badly. */
  onAnswered(): void;
}

/** The command is on its way (publications may come before its reply: PROTOCOL.md 8.1), or the node has confirmed. */
type Subscription = 'asked' | 'subscribed';

export class Feed {
  readonly topic: string;
  readonly readers = new Set<Reader>();
  readonly #settings: FeedSettings;
  readonly #listener: FeedListener;
  readonly #check: Check | null;
  readonly #line: Line;
  readonly #repair: Repair;
  readonly #delivery: Delivery;
  /** The connections that are subscribed: none while it waits, two while it moves from one to the other. */
  readonly #subscriptions = new Map<Connection, Subscription>();
  /** True if readers have got their `subscribed` event. */
  #isConfirmed = false;
  /** Whether anything has come on these connections: without positions, what comes on the next one has a gap before it. */
  #isHeard = false;
  #hasGap = false;
  #isDraining = false;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** Readers that begin with history, until they have got what the others have got. */
  readonly #catchUps = new Map<Reader, CatchUp>();
  /** Something has been handed out, or will not come. */
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
    this.#line = new Line(settings.maxBufferedPublications, {
      onItems: (items, position) => {
        if (position === null) this.#joinAll();
        this.#delivery.take(items, position);
        if (position !== null) for (const catchUp of this.#catchUps.values()) catchUp.onItems(items, position);
      },
      onGap: (reason, position) => {
        this.#tellGap(reason, position);
        for (const catchUp of this.#catchUps.values()) catchUp.onGap(position);
      },
      onReset: (position) => {
        this.#delivery.tell((reader) => reader.reset({ position }));
        for (const catchUp of this.#catchUps.values()) catchUp.onReset(position);
      },
    });
    this.#repair = new Repair(settings, {
      topic,
      line: this.#line,
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

  /** `beginning`: what it is handed first; null if that is what comes from now on. */
  add(reader: Reader, beginning: Beginning | null): void {
    this.readers.add(reader);
    if (beginning === null) this.#delivery.readers.add(reader);
    else this.#catchUps.set(reader, this.#catchUp(reader, beginning));
    // Not synchronously: the caller of subscribe() has not added its listeners yet.
    queueMicrotask(() => {
      const { position } = this.#line;
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

  /** Subscribes on the newest connection. Does nothing if that is done already, or if there is no connection: the next one will do it. */
  subscribe(): void {
    const connection = this.#settings.connection();
    if (connection === null || this.#isDraining || this.#subscriptions.has(connection)) return;
    const since = this.#line.position;
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

  /** Whether something would be lost if `from` were closed now: it is confirmed there, has history, and is not yet confirmed on `to`. */
  needs(from: Connection, to: Connection): boolean {
    const isOn = (connection: Connection): boolean => this.#subscriptions.get(connection) === 'subscribed';
    return this.#line.position !== null && isOn(from) && !isOn(to);
  }

  /** The connection is gone. */
  lost(connection: Connection): void {
    if (!this.#subscriptions.delete(connection)) return;
    this.#line.settle();
    this.#repair.stop();
    for (const catchUp of this.#catchUps.values()) catchUp.lost();
    if (this.#isSubscribed) return this.#goOn();
    this.#hasGap ||= this.#isHeard;
    this.#isHeard = false;
    this.#interrupt(null);
    this.#onProgress?.();
  }

  /** Nothing more is wanted than what is on its way. Answers the connections on which to unsubscribe. */
  drain(): Connection[] {
    const { connections } = this;
    this.#isDraining = true;
    return connections;
  }

  /** A reader has ended. */
  remove(reader: Reader): void {
    this.readers.delete(reader);
    this.#delivery.readers.delete(reader);
    this.#catchUps.get(reader)?.stop();
    this.#catchUps.delete(reader);
    this.#onProgress?.();
  }

  /** Nobody reads any more. */
  stop(): void {
    clearTimeout(this.#retry);
    this.#repair.stop();
    this.#subscriptions.clear();
    this.#isConfirmed = false;
    this.#line.clear();
    this.#delivery.clear();
    this.#onProgress?.();
  }

  /** The node has ended the subscription of this connection. During a move the other one goes on, or its node ends it as well. */
  onEnded(error: ReplyError, connection: Connection): void {
    if (this.#subscriptions.size > 1) return this.lost(connection);
    if (this.#subscriptions.delete(connection)) this.end(error.code, error);
  }

  end(code: ErrorCode, error: FanfareError | null): void {
    for (const reader of [...this.readers]) reader.end(code, error);
  }

  onPush(push: TopicPush): void {
    this.#isHeard = true;
    if (push.type === 'publications') this.#line.onPublications(push);
    else if (push.type === 'reset') this.#line.onReset(push.position);
    else if (push.position !== null) this.#line.onGap(push.position);
    else this.#tellGap('node', null);
    this.#goOn();
  }

  /** Resolves once all that came has been handed out: nothing waits for history or for its schema. */
  async settled(): Promise<void> {
    while (!this.#isSettled) {
      await new Promise<void>((resolve) => {
        this.#onProgress = resolve;
      });
    }
  }

  get #isSettled(): boolean {
    const catchUps = [...this.#catchUps.values()];
    const hasHole = this.#line.hasHole || catchUps.some((catchUp) => catchUp.hasHole);
    const isIdle = this.#delivery.isIdle && catchUps.every((catchUp) => catchUp.isIdle);
    return isIdle && !(hasHole && this.#subscriptions.size > 0);
  }

  /** Whom to ask for history. */
  readonly #newest = (): Connection | null => [...this.#subscriptions.keys()].at(-1) ?? null;

  get #isSubscribed(): boolean {
    return [...this.#subscriptions.values()].includes('subscribed');
  }

  #onAnswer(answer: Answer, connection: Connection, since: Position | null): void {
    // It was cancelled meanwhile: there are no readers, or the connection is lost and the next one will subscribe again.
    if (this.#subscriptions.get(connection) !== 'asked') return;
    if (!(answer instanceof FanfareError)) this.#onSubscribed(answer as Subscribed, connection, since);
    // What the node thinks of the subscription is unknown.
    else if (answer.code === 'timeout') connection.drop(closure('replyTimeout'));
    else if (answer instanceof ReplyError) this.#onRefused(answer, connection);
    this.#listener.onAnswered();
  }

  #onRefused(error: ReplyError, connection: Connection): void {
    this.#subscriptions.delete(connection);
    // The node has refused an unsubscribe before (`rateLimited`), and the error has no position: end that subscription first.
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
      this.#tellGap('reconnected', position && moved(position, -reply.publications.length));
    }
    this.#hasGap = false;
    this.#isHeard = true;
    if (position === null) this.#joinAll();
    this.#line.onSubscribed(reply, since);
    const at = this.#line.position;
    // Of another epoch it came late, from a node that lags.
    const isCertain = at?.epoch === position?.epoch;
    for (const catchUp of this.#catchUps.values()) this.#start(catchUp, isCertain ? position : at, isCertain);
    this.#goOn();
    // A connection that was opened while this one was asked.
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
      if (this.#isConfirmed) reader.confirm(this.#line.position);
    });
  }

  /** After anything that may have opened a hole, or closed one. */
  #goOn(): void {
    this.#repair.goOn();
    for (const catchUp of this.#catchUps.values()) this.#advance(catchUp);
    if (!this.#isConfirmed && this.#isSubscribed && !this.#line.hasHole) {
      this.#isConfirmed = true;
      const { position } = this.#line;
      this.#delivery.tell((reader) => {
        if (this.#isConfirmed) reader.confirm(position);
      });
    }
    this.#onProgress?.();
  }

  #advance(catchUp: CatchUp): void {
    catchUp.goOn();
    if (!catchUp.hasStarted || catchUp.hasHole || !catchUp.isIdle) return;
    const { position, reader } = catchUp;
    const joint = this.#line.position;
    if (this.#isSubscribed) reader.confirm(position);
    if (position?.epoch === joint?.epoch && position?.offset === joint?.offset) this.#join(catchUp);
  }

  /** The confirmation no longer holds, or was refused for now. */
  #interrupt(error: FanfareError | null): void {
    this.#isConfirmed = false;
    for (const reader of [...this.readers]) reader.interrupt(error);
  }

  #tellGap(reason: GapReason, position: Position | null): void {
    this.#delivery.tell((reader) => reader.gap({ reason, position }));
  }
}
