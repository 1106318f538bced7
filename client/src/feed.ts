/**
 * One topic: subscribes at the node once for all subscriptions of this client, and delivers its publications to them.
 */
import { type Item, maxHistoryLimit, type Position, type Subscribed, type TopicPush } from '@fanfare/protocol';
import { type Beginning, CatchUp } from './catch-up.js';
import { Condition } from './condition.js';
import type { Connection } from './connection.js';
import { moved } from './cursor.js';
import { Delivery, type DeliverySettings } from './delivery.js';
import { type ErrorCode, FanfareError, ReplyError } from './errors.js';
import type { Levels } from './levels.js';
import { reconnectDelayMs } from './reconnect.js';
import type { Answer, Requests } from './requests.js';
import type { Check } from './schemas.js';
import type { GapReason, Reader } from './subscription.js';

export interface FeedSettings extends DeliverySettings {
  readonly requests: Requests;
  readonly levels: Levels;
  /** The newest open connection; null if there is none. */
  readonly connection: () => Connection | null;
}

/** The command was sent (publications may arrive before its reply: PROTOCOL.md 8.1), or the node has confirmed it. */
type Subscription = 'asked' | 'subscribed';

export class Feed extends Delivery {
  /** All readers, also those that still catch up. */
  readonly readers = new Set<Reader>();
  /** Everything that arrived is delivered: nothing waits for the history or a schema. */
  readonly settled = new Condition(() => {
    const all = [this, ...this.#catchUps.values()];
    const hasHole = this.#subscriptions.size > 0 && all.some(({ cursor }) => cursor.hasHole);
    return !hasHole && all.every(({ isIdle }) => isIdle);
  });
  #isDraining = false;
  readonly #settings: FeedSettings;
  /** Called when a node has answered, with or without an error. */
  readonly #onAnswered: () => void;
  /** The connections that are subscribed: none while the feed waits for one, two during a move. */
  readonly #subscriptions = new Map<Connection, Subscription>();
  /** True if readers have got their `subscribed` event. */
  #isConfirmed = false;
  /** True if something arrived on these connections. Without positions, the next connection then begins with a gap. */
  #isHeard = false;
  #hasGap = false;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** Readers that begin with history, until they have caught up with the others. */
  readonly #catchUps = new Map<Reader, CatchUp>();

  constructor(topic: string, check: Check | null, settings: FeedSettings, onAnswered: () => void) {
    super(topic, check, settings, settings.maxBufferedPublications, maxHistoryLimit);
    this.#settings = settings;
    this.#onAnswered = onAnswered;
  }

  /** True after {@link drain}. */
  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** The connections that are subscribed or subscribing, and not unsubscribing. */
  get connections(): Connection[] {
    return this.#isDraining ? [] : [...this.#subscriptions.keys()];
  }

  get source(): Connection | null {
    return [...this.#subscriptions.keys()].at(-1) ?? null;
  }

  /** `beginning`: the history that the reader gets first; null for new publications only. */
  add(reader: Reader, beginning: Beginning | null): void {
    this.readers.add(reader);
    if (beginning === null) this.receivers.add(reader);
    else this.#catchUps.set(reader, new CatchUp(this, this.check, this.#settings, reader, beginning));
    // Not synchronously: the caller of subscribe() has not added its listeners yet.
    queueMicrotask(() => {
      const { position } = this.cursor;
      const catchUp = this.#catchUps.get(reader);
      if (catchUp === undefined) {
        if (this.#isConfirmed) reader.confirm(position);
      } else if (this.#isSubscribed) {
        this.#start(catchUp, position, false);
        this.#advance(catchUp);
      }
    });
  }

  /**
   * Subscribes on the newest connection. Does nothing if the topic is already subscribed there, or if there is no
   * connection yet.
   */
  subscribe(): void {
    const connection = this.#settings.connection();
    // A listener may end the last reader while a reply is handled.
    const isOver = this.readers.size === 0 || this.#isDraining;
    if (connection === null || isOver || this.#subscriptions.has(connection)) return;
    const since = this.cursor.position;
    // Without positions duplicates cannot be detected, so such a topic uses one connection at a time.
    if (since === null && this.#subscriptions.size > 0) return;
    clearTimeout(this.#retry);
    this.#subscriptions.set(connection, 'asked');
    const { topic } = this;
    this.#settings.requests.ask(connection, { type: 'subscribe', topic, since }, (answer) =>
      this.#onAnswer(answer, connection, since),
    );
  }

  /**
   * True if closing `from` now would lose publications: the topic keeps history, and is confirmed on `from` but not on
   * `to`.
   */
  needs(from: Connection, to: Connection): boolean {
    const isOn = (connection: Connection): boolean => this.#subscriptions.get(connection) === 'subscribed';
    return this.cursor.position !== null && isOn(from) && !isOn(to);
  }

  /** The connection was lost. */
  lost(connection: Connection): void {
    if (!this.#subscriptions.delete(connection)) return;
    for (const delivery of [this, ...this.#catchUps.values()]) delivery.interruptReads();
    if (this.#isSubscribed) return this.goOn();
    this.#hasGap ||= this.#isHeard;
    this.#isHeard = false;
    this.#interrupt(null);
    this.settled.check();
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
    this.receivers.delete(reader);
    this.#catchUps.get(reader)?.stop();
    this.#catchUps.delete(reader);
    this.settled.check();
  }

  /** The last reader ended. */
  override stop(): void {
    super.stop();
    clearTimeout(this.#retry);
    this.#subscriptions.clear();
    this.#isConfirmed = false;
    this.settled.check();
  }

  /**
   * The node ended the subscription on this connection. During a move the other connection stays subscribed, or its
   * node ends it too.
   */
  onEnded(error: ReplyError, connection: Connection): void {
    if (this.#subscriptions.size > 1) return this.lost(connection);
    if (this.#subscriptions.delete(connection)) this.end(error);
  }

  /** `why`: the error, or the code if the application ends it. */
  end(why: FanfareError | ErrorCode): void {
    for (const reader of [...this.readers]) reader.end(why);
  }

  onPush(push: TopicPush): void {
    this.#isHeard = true;
    if (push.type === 'publications') this.cursor.onPublications(push);
    else if (push.type === 'reset') this.cursor.onReset(push.position);
    else if (push.position !== null) this.cursor.onGap(push.position);
    else this.onGap('node', null);
    this.goOn();
  }

  override onItems(items: readonly Item[], position: Position | null): void {
    if (position === null) this.#joinAll();
    super.onItems(items, position);
    if (position !== null) for (const catchUp of this.#catchUps.values()) catchUp.follow(items, position);
  }

  override onGap(reason: GapReason, position: Position | null): void {
    super.onGap(reason, position);
    // The history may still have a part of it.
    if (position !== null) for (const { cursor } of this.#catchUps.values()) cursor.know(position);
  }

  override onReset(position: Position): void {
    super.onReset(position);
    for (const catchUp of this.#catchUps.values()) catchUp.followReset(position);
  }

  protected overflow(): void {
    this.end(new FanfareError('slowConsumer'));
  }

  get #isSubscribed(): boolean {
    return [...this.#subscriptions.values()].includes('subscribed');
  }

  #onAnswer(answer: Answer, connection: Connection, since: Position | null): void {
    // Cancelled in the meantime: there are no readers, or the connection was lost and the client subscribes again on
    // the next one.
    if (this.#subscriptions.get(connection) !== 'asked') return;
    if (!(answer instanceof FanfareError)) this.#onSubscribed(answer as Subscribed, connection, since);
    else if (answer instanceof ReplyError) this.#onRefused(answer, connection);
    this.#onAnswered();
  }

  #onRefused(error: ReplyError, connection: Connection): void {
    this.#subscriptions.delete(connection);
    // An earlier unsubscribe had no effect, and this error has no position: end that subscription first.
    const isLeftOver = error.code === 'alreadySubscribed';
    if (!error.retryable && !isLeftOver) return this.end(error);
    this.#retry = setTimeout(
      () => {
        if (isLeftOver && connection.isOpen) {
          // From now on, publications of the left-over subscription are not used.
          this.#hasGap ||= this.#isHeard;
          this.#settings.requests.leave(connection, this.topic, () => {});
        }
        this.subscribe();
      },
      reconnectDelayMs(this.#failures++, this.#settings),
    );
    if (this.#subscriptions.size === 0) this.#interrupt(isLeftOver ? null : error);
  }

  #onSubscribed(reply: Subscribed, connection: Connection, since: Position | null): void {
    const { position } = reply;
    this.#subscriptions.set(connection, 'subscribed');
    this.#failures = 0;
    this.#settings.levels.learn(this.topic, position !== null);
    // Without a position before and after, missed publications cannot be detected.
    if (since === null ? this.#hasGap : position === null) {
      this.onGap('reconnected', position && moved(position, -reply.publications.length));
    }
    this.#hasGap = false;
    this.#isHeard = true;
    if (position === null) this.#joinAll();
    this.cursor.onSubscribed(reply, since);
    const at = this.cursor.position;
    // A reply of another epoch is late, from a node that lags.
    const isCertain = at?.epoch === position?.epoch;
    for (const catchUp of this.#catchUps.values()) this.#start(catchUp, isCertain ? position : at, isCertain);
    this.goOn();
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
    this.join(reader, () => {
      if (this.#isConfirmed) reader.confirm(this.cursor.position);
    });
  }

  goOn(): void {
    this.repair();
    for (const catchUp of this.#catchUps.values()) this.#advance(catchUp);
    if (!this.#isConfirmed && this.#isSubscribed && !this.cursor.hasHole) {
      this.#isConfirmed = true;
      const { position } = this.cursor;
      this.notify((reader) => {
        if (this.#isConfirmed) reader.confirm(position);
      });
    }
    this.settled.check();
  }

  #advance(catchUp: CatchUp): void {
    catchUp.read();
    const { position, hasHole } = catchUp.cursor;
    if (!catchUp.hasStarted || hasHole || !catchUp.isIdle) return;
    const { reader } = catchUp;
    const joint = this.cursor.position;
    if (this.#isSubscribed) reader.confirm(position);
    if (position?.epoch === joint?.epoch && position?.offset === joint?.offset) this.#join(catchUp);
  }

  /** The confirmation is no longer valid, or the node refused temporarily. */
  #interrupt(error: FanfareError | null): void {
    this.#isConfirmed = false;
    for (const reader of [...this.readers]) reader.interrupt(error);
  }
}
