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

interface Entry {
  readonly topic: Topic;
  isWanted: boolean;
  /**
   * `idle`: not listened to on this connection. `queued`: SUBSCRIBE leaves at the end of this turn. `sent`: it is on its way.
   * `confirmed`: Redis has answered.
   */
  state: 'idle' | 'queued' | 'sent' | 'confirmed';
  /** The topic was listened to when the connection was lost: its subscribers are owed the news. */
  owesGap: boolean;
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
  readonly #tellGap: (topic: Topic) => void;
  readonly #entries = new Map<Topic, Entry>();
  /** Wanted topics for which SUBSCRIBE leaves at the end of this turn. */
  #toSubscribe: Entry[] = [];
  /** Topics nobody wants any more, with the time when listening ends; oldest first. */
  readonly #lingering = new Map<Topic, number>();
  #sweep: NodeJS.Timeout | null = null;
  /** Counts connections: what an old one still answers is not news. */
  #generation = 0;

  constructor(listener: Listener, settings: InterestSettings, tellGap: (topic: Topic) => void) {
    this.#listener = listener;
    this.#settings = settings;
    this.#tellGap = tellGap;
  }

  /** Topics asked for in Redis, lingering ones included. */
  get size(): number {
    return this.#entries.size;
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
    this.#lingering.set(topic, Date.now() + this.#settings.unsubscribeLingerMs);
    this.#sweep ??= setTimeout(() => this.#sweepLingering(), this.#settings.unsubscribeLingerMs);
  }

  /** To be called before a publication of the topic is delivered: pays what is owed first. */
  beforeDelivery(topic: Topic): void {
    const entry = this.#entries.get(topic);
    if (entry?.owesGap) this.#payGap(entry);
  }

  /** The connection works (again): ask for everything that is wanted, in pieces, one after the other. */
  async onReady(): Promise<void> {
    const generation = ++this.#generation;
    const wanted: Entry[] = [];
    for (const entry of this.#entries.values()) {
      if (entry.isWanted) wanted.push(entry);
      else this.#forget(entry);
    }
    for (let at = 0; at < wanted.length && generation === this.#generation; at += this.#settings.maxTopicsPerCommand) {
      const piece = wanted.slice(at, at + this.#settings.maxTopicsPerCommand).filter((entry) => entry.state === 'idle');
      if (piece.length > 0) await this.#subscribe(piece);
    }
  }

  /** The connection is lost: Redis has forgotten what we listened to. */
  onLost(): void {
    this.#generation++;
    this.#toSubscribe = [];
    for (const entry of this.#entries.values()) {
      if (entry.state === 'confirmed') entry.owesGap = true;
      entry.state = 'idle';
      this.#settle(entry, unavailable());
    }
  }

  close(): void {
    this.onLost();
    this.#entries.clear();
    this.#lingering.clear();
    if (this.#sweep !== null) clearTimeout(this.#sweep);
  }

  #entryOf(topic: Topic): Entry {
    let entry = this.#entries.get(topic);
    if (entry === undefined) {
      entry = { topic, isWanted: false, state: 'idle', owesGap: false, waiting: null };
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
    // A topic may have been let go in the same turn.
    const entries = this.#toSubscribe.filter((entry) => this.#entries.get(entry.topic) === entry);
    this.#toSubscribe = [];
    for (let at = 0; at < entries.length; at += this.#settings.maxTopicsPerCommand) {
      // Nobody awaits this: `#subscribe` tells those who wait, and does not reject.
      void this.#subscribe(entries.slice(at, at + this.#settings.maxTopicsPerCommand));
    }
  }

  async #subscribe(entries: readonly Entry[]): Promise<void> {
    const generation = this.#generation;
    for (const entry of entries) entry.state = 'sent';
    try {
      await this.#listener.subscribe(entries.map((entry) => entry.topic));
    } catch {
      // The connection said why in the log; if it was lost, `onLost` has told those who wait.
      if (generation !== this.#generation) return;
      for (const entry of entries) {
        entry.state = 'idle';
        this.#settle(entry, unavailable());
      }
      return;
    }
    if (generation !== this.#generation) return;
    for (const entry of entries) {
      if (this.#entries.get(entry.topic) !== entry) continue;
      entry.state = 'confirmed';
      if (entry.owesGap) this.#payGap(entry);
      this.#settle(entry, null);
    }
  }

  #payGap(entry: Entry): void {
    entry.owesGap = false;
    this.#tellGap(entry.topic);
  }

  #wait(entry: Entry): Waiting {
    const { promise, resolve, reject } = withResolvers();
    const timer = setTimeout(() => {
      if (entry.waiting?.promise === promise) this.#settle(entry, unavailable());
    }, this.#settings.redisTimeoutMs);
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
    this.#entries.delete(entry.topic);
    this.#lingering.delete(entry.topic);
  }

  #sweepLingering(): void {
    this.#sweep = null;
    const now = Date.now();
    const over: Topic[] = [];
    for (const [topic, endsAt] of this.#lingering) {
      if (endsAt > now) {
        this.#sweep = setTimeout(() => this.#sweepLingering(), endsAt - now);
        break;
      }
      const entry = this.#entries.get(topic);
      if (entry !== undefined) {
        if (entry.state === 'sent' || entry.state === 'confirmed') over.push(topic);
        this.#forget(entry);
      }
    }
    if (!this.#listener.isReady()) return;
    for (let at = 0; at < over.length; at += this.#settings.maxTopicsPerCommand) {
      this.#listener.unsubscribe(over.slice(at, at + this.#settings.maxTopicsPerCommand)).catch(() => {
        // The connection broke, and with it all that it listened to.
      });
    }
  }
}

function unavailable(): ReplyError {
  return new ReplyError('unavailable', 'The other nodes cannot be reached: Redis does not answer. Try again.');
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
