/**
 * Which topics this node listens to in Redis: only those with a subscriber here, so that it never receives what it does not deliver.
 *
 * The race to get right is first and last subscriber against a Redis that answers late. It is kept small by one rule: commands
 * of one connection are carried out in order, so what counts is the last command *sent* for a topic, and a new SUBSCRIBE may
 * follow an UNSUBSCRIBE at once. An answer only releases those who wait for it.
 */
import { ReplyError, type Topic } from '@fanfare/protocol';

/** The connection that listens, as this file needs it. */
export interface Listener {
  isReady(): boolean;
  /** Resolves when all are confirmed; rejects where the connection breaks first. */
  subscribe(topics: readonly Topic[]): Promise<void>;
  unsubscribe(topics: readonly Topic[]): Promise<void>;
}

export interface InterestSettings {
  /** How long a topic without subscribers is still listened to, in milliseconds: they often come back at once. */
  readonly unsubscribeLingerMs: number;
  /** How long `want` waits for Redis, in milliseconds. */
  readonly redisTimeoutMs: number;
  /** Most topics in one command to Redis. */
  readonly maxTopicsPerCommand: number;
}

export interface InterestEvents {
  /** The topic is listened to again, after the connection was lost: something may have been missed. */
  onBack(topic: Topic): void;
  /** The topic is not listened to any more. */
  onForgotten(topic: Topic): void;
}

/** Most topics that linger: of more, the oldest are let go early. */
const maxLingeringTopics = 10_000;

/** Most SUBSCRIBE commands that may wait for Redis: what comes faster than it answers waits here, where it can still be let go. */
const maxUnansweredCommands = 8;

/** After how long a SUBSCRIBE that Redis refused is tried again, in milliseconds. */
const retryMs = 1_000;

interface Entry {
  readonly topic: Topic;
  isWanted: boolean;
  /**
   * `idle`: not listened to on this connection. `queued`: SUBSCRIBE leaves at the end of this turn. `sent`: it is on its way.
   * `confirmed`: Redis has answered.
   */
  state: 'idle' | 'queued' | 'sent' | 'confirmed';
  /** The topic was listened to when the connection was lost: that is news when it is back. */
  wasLost: boolean;
  waiting: Waiting | null;
}

interface Waiting {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: ReplyError): void;
}

export class Interest {
  readonly #listener: Listener;
  readonly #settings: InterestSettings;
  readonly #events: InterestEvents;
  readonly #entries = new Map<Topic, Entry>();
  /** Topics for which SUBSCRIBE leaves at the end of this turn, or when Redis has answered those before. */
  #toSubscribe: Entry[] = [];
  #unansweredCommands = 0;
  /** Standing topics that Redis has refused to subscribe: they are asked for again. */
  readonly #refused = new Set<Entry>();
  #retry: NodeJS.Timeout | null = null;
  /** Topics nobody wants any more, with the time when listening ends; oldest first. */
  readonly #lingering = new Map<Topic, number>();
  #sweep: NodeJS.Timeout | null = null;
  /** Counts connections: what an old one still answers is not news. */
  #generation = 0;

  constructor(listener: Listener, settings: InterestSettings, events: InterestEvents) {
    this.#listener = listener;
    this.#settings = settings;
    this.#events = events;
  }

  /** Whether Redis has not refused any topic that stands. */
  get isServed(): boolean {
    return this.#refused.size === 0;
  }

  /** Whether Redis has confirmed all topics that are wanted. */
  get isComplete(): boolean {
    for (const { isWanted, state } of this.#entries.values()) if (isWanted && state !== 'confirmed') return false;
    return true;
  }

  /** Resolves once the topic is listened to. Rejects with `unavailable` where that cannot be had in time. */
  want(topic: Topic): Promise<void> {
    const entry = this.#entryOf(topic);
    entry.isWanted = true;
    this.#lingering.delete(topic);
    if (entry.state === 'confirmed') return Promise.resolve();
    if (!this.#listener.isReady()) return Promise.reject(unavailable());
    if (entry.state === 'idle') this.#ask(entry);
    entry.waiting ??= this.#wait(entry);
    return entry.waiting.promise;
  }

  /** Nobody here wants the topic any more: listening ends after a while. */
  release(topic: Topic): void {
    const entry = this.#entries.get(topic);
    if (entry === undefined) return;
    entry.isWanted = false;
    this.#lingering.set(topic, performance.now() + this.#settings.unsubscribeLingerMs);
    if (this.#lingering.size > maxLingeringTopics) this.#letGo(this.#settings.maxTopicsPerCommand);
    this.#sweep ??= setTimeout(() => this.#sweepLingering(), this.#settings.unsubscribeLingerMs);
  }

  /** To be called before a publication of the topic is delivered: what is news is told first. */
  beforeDelivery(topic: Topic): void {
    const entry = this.#entries.get(topic);
    if (entry?.wasLost) this.#tellBack(entry);
  }

  /** The connection works (again): ask for everything that is wanted. */
  onReady(): void {
    this.#generation++;
    for (const entry of this.#entries.values()) {
      if (!entry.isWanted) this.#forget(entry);
      else if (entry.state === 'idle') this.#ask(entry);
    }
  }

  /** The connection is lost: Redis has forgotten what we listened to. */
  onLost(): void {
    this.#generation++;
    this.#toSubscribe = [];
    this.#unansweredCommands = 0;
    this.#refused.clear();
    for (const entry of this.#entries.values()) {
      if (entry.state === 'confirmed') entry.wasLost = true;
      entry.state = 'idle';
      this.#settle(entry, unavailable());
    }
  }

  close(): void {
    this.onLost();
    this.#entries.clear();
    this.#lingering.clear();
    if (this.#sweep !== null) clearTimeout(this.#sweep);
    if (this.#retry !== null) clearTimeout(this.#retry);
  }

  #entryOf(topic: Topic): Entry {
    let entry = this.#entries.get(topic);
    if (entry === undefined) {
      entry = { topic, isWanted: false, state: 'idle', wasLost: false, waiting: null };
      this.#entries.set(topic, entry);
    }
    return entry;
  }

  /** SUBSCRIBE leaves at the end of the turn, with all others of the turn. */
  #ask(entry: Entry): void {
    entry.state = 'queued';
    if (this.#toSubscribe.length === 0) setImmediate(() => this.#subscribeAll());
    this.#toSubscribe.push(entry);
  }

  #subscribeAll(): void {
    while (this.#toSubscribe.length > 0 && this.#unansweredCommands < maxUnansweredCommands) {
      const piece = this.#toSubscribe.splice(0, this.#settings.maxTopicsPerCommand).filter((entry) => {
        if (this.#entries.get(entry.topic) !== entry) return false;
        if (entry.isWanted) return true;
        // Let go before it was asked for: if it is wanted again, it is asked for again. Nobody may wait for an answer that does not come.
        entry.state = 'idle';
        this.#settle(entry, unavailable());
        return false;
      });
      // Nobody awaits this: `#subscribe` tells those who wait, and does not reject.
      if (piece.length > 0) void this.#subscribe(piece);
    }
  }

  async #subscribe(entries: readonly Entry[]): Promise<void> {
    const generation = this.#generation;
    this.#unansweredCommands++;
    for (const entry of entries) entry.state = 'sent';
    let isConfirmed = true;
    try {
      await this.#listener.subscribe(entries.map((entry) => entry.topic));
    } catch {
      // The connection has said why in the log; if it was lost, `onLost` has told those who wait.
      isConfirmed = false;
    }
    if (generation !== this.#generation) return;
    this.#unansweredCommands--;
    for (const entry of entries) {
      if (this.#entries.get(entry.topic) !== entry) continue;
      if (isConfirmed) this.#confirm(entry);
      else this.#refuse(entry);
    }
    this.#subscribeAll();
  }

  #confirm(entry: Entry): void {
    entry.state = 'confirmed';
    this.#refused.delete(entry);
    if (entry.wasLost) this.#tellBack(entry);
    this.#settle(entry, null);
  }

  /** Redis does not let us subscribe. Those who wait are told, and leave; those who were there before are not forgotten. */
  #refuse(entry: Entry): void {
    entry.state = 'idle';
    this.#settle(entry, unavailable());
    this.#refused.add(entry);
    this.#retry ??= setTimeout(() => this.#retryRefused(), retryMs);
  }

  #retryRefused(): void {
    this.#retry = null;
    for (const entry of [...this.#refused]) {
      if (entry.isWanted && this.#entries.get(entry.topic) === entry && entry.state === 'idle') this.#ask(entry);
      else this.#refused.delete(entry);
    }
  }

  #tellBack(entry: Entry): void {
    entry.wasLost = false;
    this.#events.onBack(entry.topic);
  }

  #wait(entry: Entry): Waiting {
    const { promise, resolve, reject } = withResolvers();
    // Judged after the poll phase: where the event loop was held up, the answer may have come and only wait to be read.
    const giveUp = (): void => {
      if (entry.waiting?.promise === promise) this.#settle(entry, unavailable());
    };
    const timer = setTimeout(() => setImmediate(giveUp), this.#settings.redisTimeoutMs);
    const done = (): void => clearTimeout(timer);
    promise.then(done, done);
    return { promise, resolve, reject };
  }

  #settle(entry: Entry, error: ReplyError | null): void {
    const waiting = entry.waiting;
    entry.waiting = null;
    if (error === null) waiting?.resolve();
    else waiting?.reject(error);
  }

  #forget(entry: Entry): void {
    this.#settle(entry, unavailable());
    this.#refused.delete(entry);
    this.#entries.delete(entry.topic);
    this.#lingering.delete(entry.topic);
    this.#events.onForgotten(entry.topic);
  }

  #sweepLingering(): void {
    this.#sweep = null;
    const now = performance.now();
    let over = 0;
    for (const endsAt of this.#lingering.values()) {
      if (endsAt > now) {
        this.#sweep = setTimeout(() => this.#sweepLingering(), Math.max(1, endsAt - now));
        break;
      }
      over++;
    }
    this.#letGo(over);
  }

  /** Stops listening to the topics that linger longest. */
  #letGo(count: number): void {
    const over: Topic[] = [];
    let left = count;
    for (const topic of this.#lingering.keys()) {
      if (left-- === 0) break;
      const entry = this.#entries.get(topic);
      if (entry === undefined) continue;
      if (entry.state === 'sent' || entry.state === 'confirmed') over.push(topic);
      this.#forget(entry);
    }
    if (!this.#listener.isReady()) return;
    for (let at = 0; at < over.length; at += this.#settings.maxTopicsPerCommand) {
      this.#listener.unsubscribe(over.slice(at, at + this.#settings.maxTopicsPerCommand)).catch(() => {
        // The connection broke, and with it all that it listened to; or Redis refused, and has said so in the log.
      });
    }
  }
}

function unavailable(): ReplyError {
  return new ReplyError('unavailable', 'The other nodes are unreachable: Redis does not respond. Retry.');
}

/** Promise.withResolvers of ES2024, which Node 20 lacks. */
function withResolvers(): Waiting {
  let resolve: () => void = () => undefined;
  let reject: (error: ReplyError) => void = () => undefined;
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
