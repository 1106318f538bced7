/**
 * The two connections of a node to Redis, one to publish and one to listen, and all that we know about ioredis. What the
 * options are for stands in docs/decisions.md; the traps behind them in ioredis' own tracker.
 */
import { Redis, type RedisOptions } from 'ioredis';
import type { Log } from './log.js';

export interface RedisSettings {
  readonly redisUrl: string;
  /** How long an answer of Redis may take, in milliseconds. Beyond it the connection is given up and made anew. */
  readonly redisTimeoutMs: number;
  readonly nodeName: string;
}

/** Counted for the metrics; see metrics.ts for what each means. */
export interface RedisCounters {
  redisPublishCommands: number;
  redisSubscribeCommands: number;
  redisUnsubscribeCommands: number;
  redisPipelines: number;
  redisReconnects: number;
}

export interface LinkEvents {
  /** The connection works. */
  onReady(): void;
  /** The connection that worked does not any more: what was on it may have arrived or not. */
  onLost(): void;
}

/** What both connections have in common: they come back by themselves, and say in the log what is wrong. */
abstract class Link {
  protected readonly redis: Redis;
  protected readonly counters: RedisCounters;
  readonly #events: LinkEvents;
  readonly #log: Log;
  readonly #timeoutMs: number;
  readonly #watch: NodeJS.Timeout;
  #isReady = false;
  #isClosed = false;
  /** When the present outage began; null while the connection works. */
  #downSince: number | null = Date.now();
  #lastComplaint = '';
  #lastComplaintAt = 0;
  /** When the present attempt to connect began; null between attempts and while connected. */
  #connectingSince: number | null = null;

  constructor(
    role: 'publisher' | 'subscriber',
    settings: RedisSettings,
    log: Log,
    counters: RedisCounters,
    events: LinkEvents,
  ) {
    this.#events = events;
    this.#log = log.child({ link: role });
    this.#timeoutMs = settings.redisTimeoutMs;
    this.counters = counters;
    this.redis = new Redis(settings.redisUrl, this.#options(`fanfare:${settings.nodeName}:${role}`));
    this.redis.on('connecting', () => {
      this.#connectingSince = Date.now();
    });
    this.redis.on('ready', () => this.#becomeReady());
    this.redis.on('close', () => this.#becomeLost());
    this.redis.on('error', (error: Error) => this.complain(error));
    this.#watch = setInterval(() => this.#checkTimeouts(), Math.max(50, settings.redisTimeoutMs / 4));
    this.#watch.unref();
    this.redis.connect().catch(() => {
      // Reported by 'error', tried again by retryStrategy.
    });
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#watch);
    this.redis.disconnect();
  }

  /** When the oldest unanswered command was sent, in Date.now() milliseconds, or null. */
  protected abstract get waitingSince(): number | null;

  /** Gives the connection up and makes it anew. */
  protected reset(why: string): void {
    this.#log.warn({ event: 'redisReset' }, why);
    this.#becomeLost();
    this.redis.disconnect(true);
  }

  #options(connectionName: string) {
    return {
      connectionName,
      lazyConnect: true,
      connectTimeout: 2_000,
      disconnectTimeout: 250,
      keepAlive: 5_000,
      // Nothing is queued or sent again behind our back: the relay knows what may be repeated.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      maxRetriesPerRequest: 0,
      enableReadyCheck: true,
      // Redis says LOADING while it reads its file: ask again soon.
      maxLoadingRetryTime: 1_000,
      retryStrategy: (attempt) => Math.min(50 * 2 ** Math.min(attempt, 10), 2_000) * (0.5 + Math.random()),
      // A demoted master answers READONLY: leave it, so that the address is resolved again.
      reconnectOnError: (error) => error.message.startsWith('READONLY'),
    } satisfies RedisOptions;
  }

  #becomeReady(): void {
    this.#connectingSince = null;
    this.#isReady = true;
    const downMs = Date.now() - (this.#downSince ?? Date.now());
    this.#downSince = null;
    this.#lastComplaint = '';
    this.#log.info({ event: 'redisConnected', downMs }, 'Connected to Redis.');
    this.#events.onReady();
  }

  #becomeLost(): void {
    this.#connectingSince = null;
    if (!this.#isReady) return;
    this.#isReady = false;
    this.#downSince = Date.now();
    if (!this.#isClosed) {
      this.counters.redisReconnects++;
      this.#log.warn({ event: 'redisLost' }, 'Lost the connection to Redis; trying again until it is back.');
    }
    this.#events.onLost();
  }

  /** Says what is wrong: at once when it is new, every ten seconds while it lasts. */
  protected complain(error: Error): void {
    if (this.#isClosed) return;
    const sentence = explain(error);
    const now = Date.now();
    if (sentence === this.#lastComplaint && now - this.#lastComplaintAt < 10_000) return;
    this.#lastComplaint = sentence;
    this.#lastComplaintAt = now;
    const downMs = this.#downSince === null ? 0 : now - this.#downSince;
    this.#log.error({ event: 'redisError', downMs, reason: error.message }, sentence);
  }

  #checkTimeouts(): void {
    const now = Date.now();
    const waitingSince = this.#isReady ? this.waitingSince : null;
    if (waitingSince !== null && now - waitingSince > this.#timeoutMs) {
      this.reset(`Redis has not answered for ${this.#timeoutMs} ms: connecting anew.`);
    } else if (this.#connectingSince !== null && now - this.#connectingSince > 2_000 + this.#timeoutMs) {
      // The TCP connection stands, but the handshake gets no answer: a paused Redis, or not a Redis at all.
      this.complain(new Error('handshake timed out'));
      this.#connectingSince = null;
      this.redis.disconnect(true);
    }
  }
}

export interface RedisMessage {
  readonly channel: string;
  readonly message: Buffer;
}

/** Sends publications to Redis, one pipeline at a time as the caller made it. */
export class PublisherLink extends Link {
  /** Send times of the pipelines that are not answered, oldest first: Redis answers in order. */
  readonly #sentAt: number[] = [];

  constructor(settings: RedisSettings, log: Log, counters: RedisCounters, events: LinkEvents) {
    super('publisher', settings, log, counters, events);
  }

  protected override get waitingSince(): number | null {
    return this.#sentAt[0] ?? null;
  }

  /** PUBLISHes all messages in one pipeline. Resolves, never rejects, with what Redis said to each: null or its error. */
  async publish(messages: readonly RedisMessage[]): Promise<readonly (Error | null)[]> {
    const pipeline = this.redis.pipeline();
    for (const { channel, message } of messages) pipeline.publish(channel, message);
    this.counters.redisPipelines++;
    this.counters.redisPublishCommands += messages.length;
    this.#sentAt.push(Date.now());
    try {
      const results = await pipeline.exec();
      const errors = messages.map((_, index) => results?.[index]?.[0] ?? null);
      const refusal = errors.find((error) => error !== null);
      if (refusal && this.isReady) this.complain(refusal);
      return errors;
    } catch (error) {
      return messages.map(() => error as Error);
    } finally {
      this.#sentAt.shift();
    }
  }
}

/** Most channels in one SUBSCRIBE or UNSUBSCRIBE, so that Redis is not held up by one command. */
export const maxChannelsPerCommand = 512;

/** Listens to channels of Redis. */
export class SubscriberLink extends Link {
  readonly #sentAt: number[] = [];

  constructor(
    settings: RedisSettings,
    log: Log,
    counters: RedisCounters,
    events: LinkEvents & { onMessage(channel: Buffer, message: Buffer): void },
  ) {
    super('subscriber', settings, log, counters, events);
    // Only this event: with a listener for 'message', ioredis would decode every message to a string too.
    this.redis.on('messageBuffer', (channel: Buffer, message: Buffer) => events.onMessage(channel, message));
  }

  protected override get waitingSince(): number | null {
    return this.#sentAt[0] ?? null;
  }

  /** At most {@link maxChannelsPerCommand} channels. Resolves when Redis has confirmed all; rejects if the connection breaks. */
  subscribe(channels: readonly string[]): Promise<void> {
    this.counters.redisSubscribeCommands++;
    return this.#await(this.redis.subscribe(...channels));
  }

  /** As {@link subscribe}. Commands are carried out in the order of the calls. */
  unsubscribe(channels: readonly string[]): Promise<void> {
    this.counters.redisUnsubscribeCommands++;
    return this.#await(this.redis.unsubscribe(...channels));
  }

  async #await(answer: Promise<unknown>): Promise<void> {
    this.#sentAt.push(Date.now());
    try {
      await answer;
    } catch (error) {
      if (this.isReady) this.complain(error as Error);
      throw error;
    } finally {
      this.#sentAt.shift();
    }
  }
}

/** What a person should read and do. */
function explain(error: Error): string {
  const code = (error as NodeJS.ErrnoException).code;
  const text = error.message;
  if (code === 'ECONNREFUSED')
    return 'Redis refuses the connection: is it running, and does FANFARE_REDIS_URL name its host and port?';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return 'The host in FANFARE_REDIS_URL has no address: check the name.';
  if (text.startsWith('WRONGPASS') || text.includes('invalid password')) {
    return 'Redis refuses the user or password in FANFARE_REDIS_URL: correct it.';
  }
  if (text.startsWith('NOAUTH'))
    return 'Redis wants a password: put it into FANFARE_REDIS_URL (redis://:password@host:port).';
  if (text.startsWith('NOPERM'))
    return 'Redis does not permit a command to this user: it needs PUBLISH, SUBSCRIBE, UNSUBSCRIBE and INFO.';
  if (text.startsWith('LOADING')) return 'Redis is still loading its data.';
  if (code === 'ETIMEDOUT' || text.includes('timed out'))
    return 'Redis does not answer: is the host up, reachable, and a Redis?';
  return 'The connection to Redis failed.';
}
