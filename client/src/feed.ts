/** One topic on the wire: subscribes at the node once for all readers of this client, and hands out what comes. */
import { type Item, maxHistoryLimit, type Position, type Subscribed, type TopicPush } from '@fanfare/protocol';
import { catchUp, type SubscribeOptions } from './catch-up.js';
import type { Connection } from './connection.js';
import { type ErrorCode, FanfareError, ReplyError } from './errors.js';
import type { Histories } from './histories.js';
import type { Levels } from './levels.js';
import { Line, moved } from './line.js';
import { Queue } from './queue.js';
import { type ReconnectPolicy, reconnectDelayMs } from './reconnect.js';
import type { Answer, Requests } from './requests.js';
import { type Check, type Checked, checkItem } from './schemas.js';
import type { Slots } from './slots.js';
import { closure } from './state.js';
import type { GapReason, Reader } from './subscription.js';

export interface FeedSettings extends ReconnectPolicy {
  readonly requests: Requests;
  readonly levels: Levels;
  readonly histories: Pick<Histories, 'fetch'>;
  readonly timeoutMs: number;
  readonly maxBufferedPublications: number;
  /** Those of all feeds together for reading what is missing. */
  readonly repairs: Slots;
  /** The newest connection that is open, or null where there is none. */
  readonly connection: () => Connection | null;
}

/** What a feed tells the other side. */
export interface FeedListener {
  /** A node has confirmed the subscription. */
  onSubscribed(connection: Connection): void;
  /** A node has answered, well or badly. */
  onAnswered(): void;
}

/** What a reader is told. */
type Step = (reader: Reader) => void;

/** The command is on its way (publications may come before its reply: PROTOCOL.md 8.1), or the node has confirmed. */
type Subscription = 'asked' | 'subscribed';

export class Feed {
  readonly topic: string;
  readonly readers = new Set<Reader>();
  readonly #settings: FeedSettings;
  readonly #listener: FeedListener;
  readonly #check: Check | null;
  readonly #line: Line;
  /** The connections whose node knows of it: none where it waits, two while it moves from one to the other. */
  readonly #subscriptions = new Map<Connection, Subscription>();
  /** Whether readers have been told that what anyone publishes arrives. */
  #isConfirmed = false;
  /** Whether all that was missed before that has come. */
  #isRecovered = false;
  /** Whether anything has come on these connections: without positions, what comes on the next one has a gap before it. */
  #isHeard = false;
  #hasGap = false;
  #isDraining = false;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** Whether history has been asked for, or will be after a while. */
  #isRepairing = false;
  /** Runs until history is asked for again; null if it does not wait for that. */
  #repair: ReturnType<typeof setTimeout> | null = null;
  /** What comes behind a publication whose schema has not decided yet: the order stays. */
  readonly #unchecked = new Queue<() => void>();
  #checking: Promise<void> | null = null;
  #onWhole: (() => void) | null = null;
  /** Readers that begin with history, as soon as a node says where the topic stands. */
  readonly #beginnings = new Map<Reader, SubscribeOptions>();
  /** What has come for readers that are catching up. */
  readonly #held = new Map<Reader, Step[]>();
  readonly #catchingUp = new Set<Promise<void>>();
  /** Until history is asked for again by one of them. */
  readonly #pauses = new Set<ReturnType<typeof setTimeout>>();

  constructor(topic: string, check: Check | null, settings: FeedSettings, listener: FeedListener) {
    this.topic = topic;
    this.#check = check;
    this.#settings = settings;
    this.#listener = listener;
    this.#line = new Line(settings.maxBufferedPublications, {
      onItems: (items, position) =>
        items.forEach((item, index) => {
          this.#take(item, position === null ? null : moved(position, index));
        }),
      onGap: (reason, position) => this.#tellGap(reason, position),
      onReset: (position) => {
        this.#isRecovered = false;
        this.#tell((reader) => reader.reset({ position }));
      },
    });
  }

  /** The connections whose node knows of it or soon will, and has not been told to stop. */
  get connections(): Connection[] {
    return this.#isDraining ? [] : [...this.#subscriptions.keys()];
  }

  /** `beginning`: what it is handed first; null if that is what comes from now on. */
  add(reader: Reader, beginning: SubscribeOptions | null): void {
    this.readers.add(reader);
    if (beginning !== null) {
      this.#held.set(reader, []);
      const { position } = this.#line;
      if (position === null && !this.#isConfirmed) this.#beginnings.set(reader, beginning);
      else this.#begin(reader, beginning, position);
      return;
    }
    if (!this.#isConfirmed) return;
    // Not at once: whoever subscribes has had no chance to listen yet.
    queueMicrotask(() => {
      if (this.#isConfirmed) reader.confirm({ position: this.#line.position, recovered: false });
    });
  }

  /** Asks the node of the newest connection. Does nothing where that has been asked, or none is up: then the next one is. */
  subscribe(): void {
    const connection = this.#settings.connection();
    if (connection === null || this.#isDraining || this.#subscriptions.has(connection)) return;
    const since = this.#line.position;
    // Without positions nobody can tell what comes twice: such a topic is on one connection at a time.
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
    // What waited for this node to recover need not wait for the next one.
    if (this.#repair !== null) this.#endRepair();
    if ([...this.#subscriptions.values()].includes('subscribed')) return this.#goOn();
    this.#hasGap ||= this.#isHeard;
    this.#isHeard = false;
    if (this.#subscriptions.size === 0) this.#onWhole?.();
    this.#interrupt(null);
  }

  /** Nothing more is wanted than what is on its way. Answers the connections on which to unsubscribe. */
  drain(): Connection[] {
    const { connections } = this;
    this.#isDraining = true;
    return connections;
  }

  /** Nobody reads any more. */
  stop(): void {
    clearTimeout(this.#retry);
    this.#endRepair();
    for (const pause of this.#pauses) clearTimeout(pause);
    this.#subscriptions.clear();
    this.#isConfirmed = false;
    this.#line.clear();
    this.#unchecked.clear();
    this.#onWhole?.();
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
    await Promise.all(this.#catchingUp);
    if (this.#line.hasHole && this.#subscriptions.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onWhole = resolve;
      });
    }
    while (this.#checking !== null) await this.#checking;
  }

  #onAnswer(answer: Answer, connection: Connection, since: Position | null): void {
    // It was given up meanwhile: nobody reads, or the connection is gone and the next one will ask again.
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
    this.#retry = setTimeout(() => {
      if (isLeftOver && connection.isOpen) this.#unsubscribe(connection);
      this.subscribe();
    }, this.#backOff());
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
    if (!this.#isConfirmed) this.#isRecovered = since !== null && position !== null;
    // Without a position before and after, nobody knows what was missed.
    if (since === null ? this.#hasGap : position === null) {
      this.#tellGap('reconnected', position && moved(position, -reply.publications.length));
    }
    this.#hasGap = false;
    this.#isHeard = true;
    const before = position && moved(position, -reply.publications.length);
    for (const [reader, beginning] of this.#beginnings) this.#begin(reader, beginning, before, position?.offset);
    this.#beginnings.clear();
    this.#line.onSubscribed(reply, since);
    this.#goOn();
    // A connection that was opened while this one was asked.
    this.subscribe();
  }

  /** Has a reader catch up to `join`, and then get what everybody gets. */
  #begin(reader: Reader, beginning: SubscribeOptions, join: Position | null, newest = join?.offset ?? 0): void {
    const { histories } = this.#settings;
    const catchingUp = catchUp(beginning, join, newest, reader, {
      topic: this.topic,
      check: this.#check,
      read: (since, limit) => histories.fetch(this.topic, { since, limit }),
      pause: () => new Promise((resolve) => this.#pauses.add(setTimeout(resolve, this.#backOff()))),
    }).then((recovered) => {
      this.#catchingUp.delete(catchingUp);
      const steps = this.#held.get(reader) ?? [];
      this.#held.delete(reader);
      if (this.#isConfirmed) reader.confirm({ position: join, recovered });
      for (const step of steps) step(reader);
    });
    this.#catchingUp.add(catchingUp);
  }

  /** After anything that may have opened a hole, or closed one. */
  #goOn(): void {
    if (this.#line.hasHole) return this.#askHistory();
    this.#onWhole?.();
    if (this.#isConfirmed || ![...this.#subscriptions.values()].includes('subscribed')) return;
    this.#isConfirmed = true;
    const { position } = this.#line;
    const recovered = this.#isRecovered;
    this.#tell((reader) => {
      if (this.#isConfirmed) reader.confirm({ position, recovered });
    });
  }

  #askHistory(): void {
    if (this.#isRepairing) return;
    this.#isRepairing = true;
    this.#settings.repairs.take(() => this.#sendHistory());
  }

  #sendHistory(): void {
    const since = this.#line.position;
    const connection = [...this.#subscriptions.keys()].at(-1);
    const { requests, timeoutMs, repairs } = this.#settings;
    // The hole may have been closed while this waited for its turn.
    if (connection === undefined || since === null || !this.#line.hasHole) {
      this.#isRepairing = false;
      repairs.release();
      return;
    }
    const { topic } = this;
    requests.ask(
      connection,
      (id) => ({ type: 'history', id, topic, since, limit: maxHistoryLimit, direction: 'forward' }),
      timeoutMs,
      (answer) => {
        repairs.release();
        this.#onHistory(answer, connection, since);
      },
    );
  }

  #onHistory(answer: Answer, connection: Connection, since: Position): void {
    this.#isRepairing = false;
    if (this.readers.size === 0) return;
    if (!(answer instanceof FanfareError)) {
      if (answer.type === 'history' && !this.#line.onHistory(answer, since)) return this.#repairLater();
      this.#failures = 0;
    } else if (answer.code === 'timeout') {
      return connection.drop(closure('replyTimeout'));
    } else if (!(answer instanceof ReplyError)) {
      // The connection is gone: the next one will be asked.
      return;
    } else if (answer.retryable) {
      return this.#repairLater();
    } else {
      this.#line.giveUp();
    }
    this.#goOn();
  }

  #repairLater(): void {
    this.#isRepairing = true;
    this.#repair = setTimeout(() => {
      this.#endRepair();
      this.#goOn();
    }, this.#backOff());
  }

  #endRepair(): void {
    clearTimeout(this.#repair ?? undefined);
    this.#repair = null;
    this.#isRepairing = false;
  }

  #backOff(): number {
    return reconnectDelayMs(this.#failures++, this.#settings);
  }

  /** The confirmation no longer holds, or was refused for now. */
  #interrupt(error: FanfareError | null): void {
    this.#isConfirmed = false;
    this.#each((reader) => reader.interrupt(error));
  }

  #tellGap(reason: GapReason, position: Position | null): void {
    this.#isRecovered = false;
    this.#tell((reader) => reader.gap({ reason, position }));
  }

  /** Tells all readers, behind the publications that came before. */
  #tell(event: Step): void {
    if (this.#checking !== null) return this.#wait(() => this.#tell(event));
    this.#each(event);
  }

  /** For all readers: now, or when they have caught up. */
  #each(step: Step): void {
    for (const reader of [...this.readers]) {
      const held = this.#held.get(reader);
      if (held === undefined) step(reader);
      else if (held.length < this.#settings.maxBufferedPublications) held.push(step);
      else reader.end('slowConsumer', new FanfareError('slowConsumer'));
    }
  }

  #take(item: Item, position: Position | null): void {
    if (this.#checking !== null) return this.#wait(() => this.#take(item, position));
    const checked = checkItem(item, this.topic, this.#check);
    if (!(checked instanceof Promise)) return this.#handOut(checked, position);
    this.#checking = checked.then((late) => {
      this.#checking = null;
      this.#handOut(late, position);
      while (this.#checking === null) {
        const next = this.#unchecked.shift();
        if (next === undefined) return;
        next();
      }
    });
  }

  #wait(step: () => void): void {
    if (this.#unchecked.size < this.#settings.maxBufferedPublications) this.#unchecked.push(step);
    else this.end('slowConsumer', new FanfareError('slowConsumer'));
  }

  #handOut(checked: Checked, position: Position | null): void {
    if ('error' in checked) return this.#each((reader) => reader.fail(checked.error));
    const publication = { topic: this.topic, data: checked.data, position };
    if (this.#held.size > 0) return this.#each((reader) => reader.deliver(publication));
    for (const reader of [...this.readers]) reader.deliver(publication);
  }
}
