/**
 * The topics that this node listens to in Redis. Each has a subscriber here, so the node never receives publications
 * that it does not deliver.
 *
 * First and last subscribers come and go while Redis answers late. One rule settles these races: the last command that
 * was *sent* for a topic counts, because Redis carries out the commands of a connection in order. So a new SSUBSCRIBE
 * may follow a SUNSUBSCRIBE at once. An answer only releases the subscribers that wait for it.
 */
import { ReplyError, type Topic } from '@fanfare/protocol';
import type { TopicState, TopicStates, Waiting } from './topic-state.js';

/** The connection that listens, as this file needs it. */
export interface Listener {
  isReady(): boolean;
  /**
   * Whether Redis is complete. Otherwise it may have lost what only this node remembers, so the node forgets no topic
   * yet.
   */
  isServing(): boolean;
  /** Resolves when all are confirmed; rejects if the connection breaks first. */
  subscribe(topics: readonly Topic[]): Promise<void>;
  unsubscribe(topics: readonly Topic[]): Promise<void>;
}

export interface InterestSettings {
  /**
   * How long a topic without subscribers is still listened to, in milliseconds: subscribers often return at once. Longer
   * while Redis is not complete.
   */
  readonly unsubscribeLingerMs: number;
  /** As {@link maxLingeringTopics}. */
  readonly maxLingeringTopics: number;
  /** How long `want` waits for Redis, in milliseconds. */
  readonly redisTimeoutMs: number;
  /** Maximum number of topics in one command to Redis. */
  readonly maxTopicsPerCommand: number;
}

/** Maximum number of topics that linger. If there are more, the oldest are dropped early. */
export const maxLingeringTopics = 10_000;

/**
 * Maximum number of SSUBSCRIBE commands that may wait for Redis. Further topics wait here, where they can still be
 * dropped.
 */
const maxUnansweredCommands = 8;

/** Pause before a SSUBSCRIBE that Redis refused is sent again, in milliseconds. */
const retryMs = 1_000;
/** While Redis is not complete, pause before this node asks again whether it may forget topics, in milliseconds. */
const holdMs = 500;

export class Interest {
  /** Topics for which SSUBSCRIBE is sent at the end of this turn, or when Redis has answered earlier ones. */
  #toSubscribe: TopicState[] = [];
  #unansweredCommands = 0;
  /** Wanted topics whose SSUBSCRIBE Redis has refused. It is sent again later. */
  readonly #refused = new Set<TopicState>();
  #retry: NodeJS.Timeout | null = null;
  /** Topics that nobody wants any more, with the time when listening ends; oldest first. */
  readonly #lingering = new Map<Topic, number>();
  #sweep: NodeJS.Timeout | null = null;
  /** Counts connections: late answers on an old one are ignored. */
  #connection = 0;

  /**
   * `onBack`: the topic is listened to again after the connection was lost, so subscribers may have missed something.
   */
  constructor(
    private readonly states: TopicStates,
    private readonly listener: Listener,
    private readonly settings: InterestSettings,
    private readonly onBack: (state: TopicState) => void,
  ) {}

  /** Whether Redis has refused none of the wanted topics. */
  get isServed(): boolean {
    return this.#refused.size === 0;
  }

  /** Whether Redis has confirmed all topics that are wanted. */
  get isComplete(): boolean {
    for (const { isWanted, listening } of this.states.all()) if (isWanted && listening !== 'confirmed') return false;
    return true;
  }

  /** Resolves once the topic is listened to. Rejects with `unavailable` if that is not possible in time. */
  want(topic: Topic): Promise<void> {
    const state = this.states.getOrCreate(topic);
    state.isWanted = true;
    this.#lingering.delete(topic);
    if (state.listening === 'confirmed') return Promise.resolve();
    if (!this.listener.isReady()) return Promise.reject(unavailable());
    if (state.listening === 'idle') this.#ask(state);
    state.waiting ??= this.#wait(state);
    return state.waiting.promise;
  }

  /** Nobody here wants the topic any more: listening ends after a while. */
  release(topic: Topic): void {
    const state = this.states.get(topic);
    if (state === undefined) return;
    state.isWanted = false;
    this.#lingering.set(topic, performance.now() + this.settings.unsubscribeLingerMs);
    if (this.#lingering.size > this.settings.maxLingeringTopics) this.#drop(this.settings.maxTopicsPerCommand);
    this.#sweep ??= setTimeout(() => this.#sweepLingering(), this.settings.unsubscribeLingerMs);
  }

  /** The topics that are wanted, of those that are meant. */
  wanted(isMeant: (topic: Topic) => boolean): readonly TopicState[] {
    return [...this.states.all()].filter(({ topic, isWanted }) => isWanted && isMeant(topic));
  }

  /** Listens no longer to topics, also if they are wanted: another connection delivers them. */
  end(isMeant: (topic: Topic) => boolean): void {
    this.#forgetAll([...this.states.all()].filter(({ topic }) => isMeant(topic)));
  }

  /**
   * A topic that was listened to through another connection. `isCertain`: that one has delivered everything up to now.
   */
  adopt(state: TopicState, isCertain: boolean): void {
    const isConfirmed = state.listening === 'confirmed';
    if (!isCertain || !isConfirmed) state.wasLost = true;
    if (isConfirmed && state.wasLost) this.#announceBack(state);
  }

  /** Call it before a publication of the topic is delivered: subscribers must first be notified of a possible loss. */
  beforeDelivery(state: TopicState): void {
    if (state.wasLost) this.#announceBack(state);
  }

  /**
   * The connection works (again): subscribes to all wanted topics, and to those that linger. Redis may have lost what
   * this node remembers of them, and their subscribers return.
   */
  onReady(): void {
    this.#connection++;
    for (const state of this.states.all()) {
      if (!isNeeded(state)) this.#forget(state);
      else if (state.listening === 'idle') this.#ask(state);
    }
  }

  /** The connection is lost, and with it all subscriptions. */
  onLost(): void {
    this.#connection++;
    this.#toSubscribe = [];
    this.#unansweredCommands = 0;
    this.#refused.clear();
    for (const state of this.states.all()) {
      if (state.listening === 'confirmed') state.wasLost = true;
      state.listening = 'idle';
      this.#settle(state, unavailable);
    }
  }

  close(): void {
    this.onLost();
    this.states.clear();
    this.#lingering.clear();
    if (this.#sweep !== null) clearTimeout(this.#sweep);
    if (this.#retry !== null) clearTimeout(this.#retry);
  }

  /** SSUBSCRIBE is sent at the end of the turn, with all others of the turn. */
  #ask(state: TopicState): void {
    state.listening = 'queued';
    if (this.#toSubscribe.length === 0) setImmediate(() => this.#subscribeAll());
    this.#toSubscribe.push(state);
  }

  #subscribeAll(): void {
    while (this.#toSubscribe.length > 0 && this.#unansweredCommands < maxUnansweredCommands) {
      const piece = this.#toSubscribe.splice(0, this.settings.maxTopicsPerCommand).filter((state) => {
        if (!this.states.has(state)) return false;
        if (isNeeded(state)) return true;
        // The topic was released before SSUBSCRIBE was sent. If it is wanted again, it is queued again. So no
        // subscriber waits for an answer forever.
        state.listening = 'idle';
        this.#settle(state, unavailable);
        return false;
      });
      // Nobody awaits this promise: `#subscribe` settles the waiting subscribers, and does not reject.
      if (piece.length > 0) void this.#subscribe(piece);
    }
  }

  async #subscribe(states: readonly TopicState[]): Promise<void> {
    const connection = this.#connection;
    this.#unansweredCommands++;
    for (const state of states) state.listening = 'sent';
    let isConfirmed = true;
    try {
      await this.listener.subscribe(states.map(({ topic }) => topic));
    } catch {
      // The connection has logged why. If it was lost, `onLost` has settled the waiting subscribers.
      isConfirmed = false;
    }
    if (connection !== this.#connection) return;
    this.#unansweredCommands--;
    for (const state of states) {
      if (!this.states.has(state)) continue;
      if (isConfirmed) this.#confirm(state);
      else this.#refuse(state);
    }
    this.#subscribeAll();
  }

  #confirm(state: TopicState): void {
    state.listening = 'confirmed';
    this.#refused.delete(state);
    if (state.wasLost) this.#announceBack(state);
    this.#settle(state, null);
  }

  /**
   * Redis does not let this node subscribe. New subscribers are refused; earlier ones keep the topic, and Redis is
   * asked again.
   */
  #refuse(state: TopicState): void {
    state.listening = 'idle';
    this.#settle(state, () => new ReplyError('unavailable', refused));
    this.#refused.add(state);
    this.#retry ??= setTimeout(() => this.#retryRefused(), retryMs);
  }

  #retryRefused(): void {
    this.#retry = null;
    for (const state of [...this.#refused]) {
      if (state.isWanted && this.states.has(state) && state.listening === 'idle') this.#ask(state);
      else this.#refused.delete(state);
    }
  }

  #announceBack(state: TopicState): void {
    state.wasLost = false;
    this.onBack(state);
  }

  #wait(state: TopicState): Waiting {
    const { promise, resolve, reject } = withResolvers();
    // Decide after the poll phase: if the event loop was blocked, the answer may have arrived without being read.
    const giveUp = (): void => {
      if (state.waiting?.promise === promise) this.#settle(state, unavailable);
    };
    const timer = setTimeout(() => setImmediate(giveUp), this.settings.redisTimeoutMs);
    const done = (): void => clearTimeout(timer);
    promise.then(done, done);
    return { promise, resolve, reject };
  }

  /** `errorOf`: makes the error only if somebody waits. After a lost connection, hardly any topic has anyone waiting. */
  #settle(state: TopicState, errorOf: (() => ReplyError) | null): void {
    const waiting = state.waiting;
    state.waiting = null;
    if (errorOf === null) waiting?.resolve();
    else waiting?.reject(errorOf());
  }

  #forget(state: TopicState): void {
    this.#settle(state, unavailable);
    this.#refused.delete(state);
    this.#lingering.delete(state.topic);
    this.states.delete(state);
  }

  #sweepLingering(): void {
    this.#sweep = null;
    if (!this.listener.isServing()) {
      this.#sweep = setTimeout(() => this.#sweepLingering(), holdMs);
      return;
    }
    const now = performance.now();
    let over = 0;
    for (const endsAt of this.#lingering.values()) {
      if (endsAt > now) {
        this.#sweep = setTimeout(() => this.#sweepLingering(), Math.max(1, endsAt - now));
        break;
      }
      over++;
    }
    this.#drop(over);
  }

  /** Stops listening to the topics that have lingered longest. */
  #drop(count: number): void {
    const over: TopicState[] = [];
    let left = count;
    for (const topic of this.#lingering.keys()) {
      if (left-- === 0) break;
      const state = this.states.get(topic);
      if (state !== undefined) over.push(state);
    }
    this.#forgetAll(over);
  }

  #forgetAll(states: readonly TopicState[]): void {
    const over: Topic[] = [];
    for (const state of states) {
      if (state.listening === 'sent' || state.listening === 'confirmed') over.push(state.topic);
      this.#forget(state);
    }
    if (!this.listener.isReady()) return;
    for (let at = 0; at < over.length; at += this.settings.maxTopicsPerCommand) {
      this.listener.unsubscribe(over.slice(at, at + this.settings.maxTopicsPerCommand)).catch(() => {
        // The connection broke, and with it all subscriptions; or Redis refused, which the link has logged.
      });
    }
  }
}

/** Whether to listen to the topic on a new connection. */
function isNeeded({ isWanted, wasLost }: TopicState): boolean {
  return isWanted || wasLost;
}

const refused = 'Redis does not let this node subscribe to the topic. The log of the node says why. Retry.';

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
