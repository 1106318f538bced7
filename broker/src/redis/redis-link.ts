/** A connection of a node to Redis, and all that we know about how ioredis connects. */
import { Redis, type RedisOptions } from 'ioredis';
import type { Log } from '../observe/log.js';
import { RedisCredentialsError, readRedisCredentials } from './redis-credentials.js';
import { commandOf, explain, ReplacedMasterError, reasonOf, ServerModeError } from './redis-fault.js';
import {
  addressOptions,
  connectTimeoutMs,
  credentialOptions,
  ignoreLaterErrors,
  keepAliveMs,
  type RedisSettings,
  retryDelayMs,
} from './redis-options.js';
import { type RedisAddress, readRedisUrl } from './redis-url.js';

/** Counted for the metrics; see metrics.ts for what each means. */
export interface RedisCounters {
  redisPublishCommands: number;
  redisScriptCalls: number;
  redisSubscribeCommands: number;
  redisUnsubscribeCommands: number;
  redisPipelines: number;
  redisReconnects: number;
}

export interface LinkEvents {
  /** The connection works. */
  onReady?(): void;
  /**
   * The connection that worked does not any more: what was on it may have arrived or not. `wasSilent`: Redis has not answered, and may
   * hang.
   */
  onLost?(wasSilent: boolean): void;
}

/** How often a fault that lasts is said again, in milliseconds. */
const complaintIntervalMs = 10_000;

const lostSentence = 'Lost the connection to Redis. Reconnecting.';

/** What both connections have in common: they come back by themselves, and say in the log what is wrong. */
export abstract class Link {
  protected readonly redis: Redis;
  protected readonly counters: RedisCounters;
  protected readonly log: Log;
  readonly #events: LinkEvents;
  protected readonly settings: RedisSettings;
  readonly #address: RedisAddress;
  readonly #timeoutMs: number;
  readonly #watch: NodeJS.Timeout;
  #retry: NodeJS.Timeout | undefined;
  #isReady = false;
  /** Whether the connection has ever worked: if so, the settings that it needs are right. */
  #hasWorked = false;
  #isClosed = false;
  /** When the present outage began; null while the connection works. All times are of performance.now(). */
  #downSince: number | null = performance.now();
  /** When each sentence was last said. */
  readonly #saidAt = new Map<string, number>();
  /** What was last found wrong, and when. */
  #fault: { readonly sentence: string; readonly at: number } | null = null;
  /** Attempts to connect since the connection last worked. */
  #attempts = 0;
  /** When the present attempt to connect began; null between attempts and while connected. */
  #connectingSince: number | null = null;
  /** Commands that Redis has not answered, oldest first: it answers in order. */
  readonly #unanswered = new Set<Unanswered>();

  constructor(
    role: 'publisher' | 'durable' | 'subscriber' | 'auth' | 'check',
    settings: RedisSettings,
    log: Log,
    counters: RedisCounters,
    events: LinkEvents,
  ) {
    this.#events = events;
    this.log = log.child({ link: role });
    this.#timeoutMs = settings.redisTimeoutMs;
    this.counters = counters;
    this.settings = settings;
    this.#address = readRedisUrl(settings.redisUrl);
    const options = this.#options(`fanfare:${settings.nodeName}:${role}`);
    this.redis = new Redis({ ...options, ...addressOptions(this.#address, settings) });
    ignoreLaterErrors(this.redis);
    this.redis.on('connecting', () => {
      this.#connectingSince = performance.now();
    });
    this.redis.on('ready', () => void this.#prove());
    this.redis.on('close', () => this.#becomeLost());
    this.redis.on('end', () => this.#connectLater());
    this.redis.on('error', (error: Error) => {
      // ioredis goes on in database 0 if SELECT is refused: `#prove` does not.
      if (!isRetried(error) && commandOf(error) !== 'select') this.complain(error);
    });
    // Judged after the poll phase, not in the timer: where the event loop was held up, the answers may have come and only wait to be read.
    this.#watch = setInterval(
      () => setImmediate(() => this.#checkTimeouts()),
      Math.max(20, settings.redisTimeoutMs / 10),
    );
    this.#watch.unref();
    settings.sentinels?.add(this.#onAnnounced);
    this.#connect();
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** What is wrong, in a sentence; null if nothing was found wrong lately. */
  get fault(): string | null {
    const fault = this.#fault;
    return fault !== null && performance.now() - fault.at < complaintIntervalMs ? fault.sentence : null;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    this.settings.sentinels?.remove(this.#onAnnounced);
    this.redis.disconnect();
  }

  /** Tries to connect at once where it pauses between attempts: the server is there again, the other connection has found. */
  hurry(): void {
    if (this.#isClosed) return;
    if (this.redis.status === 'end') this.#connect();
  }

  /** Closes the connection and opens another: it may look well and lead nowhere. `why`: for the log, if nothing else says it. */
  reset(why: string | null = null): void {
    if (!this.#isReady) return;
    this.#becomeLost(`Closed the connection to Redis${why === null ? '' : `: ${why}`}. Reconnecting.`);
    this.redis.disconnect(true);
  }

  readonly #onAnnounced = (): void => {
    const replacement = this.#isReady ? this.#replacement() : null;
    if (replacement !== null) this.reset(`the Sentinels announced ${replacement} as the new master`);
  };

  /** The master, if the Sentinels have announced another one than this connection leads to. */
  #replacement(): string | null {
    const { remoteAddress, remotePort } = this.redis.stream;
    if (remoteAddress === undefined || remotePort === undefined) return null;
    return this.settings.sentinels?.replacementOf(remoteAddress, remotePort) ?? null;
  }

  /** Follows a command until it is answered. Rejects as soon as the connection is lost. */
  protected track<Answer>(command: Promise<Answer>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const unanswered: Unanswered = { sentAt: performance.now(), reject };
      this.#unanswered.add(unanswered);
      const settle =
        <Value>(tell: (value: Value) => void) =>
        (value: Value): void => {
          this.#unanswered.delete(unanswered);
          tell(value);
        };
      command.then(settle(resolve), settle(reject));
    });
  }

  /** Says what is wrong: at once when it is new, every ten seconds while it lasts or comes again. */
  complain(error: Error): void {
    if (this.#isClosed || isEcho(error)) return;
    const sentence = this.explain(error);
    const now = performance.now();
    this.#fault = { sentence, at: now };
    if (now - (this.#saidAt.get(sentence) ?? Number.NEGATIVE_INFINITY) < complaintIntervalMs) return;
    this.#saidAt.set(sentence, now);
    const downMs = this.#downSince === null ? 0 : Math.round(now - this.#downSince);
    this.log.error({ event: 'redisError', downMs, reason: reasonOf(error) }, sentence);
  }

  protected explain(error: Error): string {
    const hasClientCertificate = (this.settings.redisCertFile ?? null) !== null;
    return explain(error, { address: this.#address, hasWorked: this.#hasWorked, hasClientCertificate });
  }

  /** The files of passwords and certificates are read each time: a changed one is used at the next attempt. */
  #connect(): void {
    clearTimeout(this.#retry);
    this.#attempts++;
    try {
      Object.assign(this.redis.options, credentialOptions(this.#address, readRedisCredentials(this.settings)));
    } catch (error) {
      // What was read before may still do.
      if (!(error instanceof RedisCredentialsError)) throw error;
      this.complain(error);
    }
    this.redis.connect().catch(() => {
      // Reported by 'error', tried again at 'end'.
    });
  }

  #connectLater(): void {
    this.#connectingSince = null;
    if (this.#isClosed) return;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connect(), retryDelayMs(this.#attempts));
  }

  /**
   * Only a server of the right kind, in the right database, is used, and no master that was replaced. A user without permission for INFO is told so by the scripts, which need it
   * too.
   */
  async #prove(): Promise<void> {
    const { database } = this.#address;
    try {
      if (database !== 0) await this.redis.select(database);
      const info = await this.redis.info('server').catch((error: Error) => {
        if (error.message.startsWith('NOPERM')) return '';
        throw error;
      });
      const mode = /^(?:redis|server)_mode:(cluster|sentinel)/m.exec(info)?.[1];
      if (mode === 'cluster' || mode === 'sentinel') throw new ServerModeError(mode);
      // A Sentinel that has not heard of a failover yet still names the old master. ioredis asks the next one of its list the next time.
      const replacement = this.#replacement();
      if (replacement !== null) throw new ReplacedMasterError(replacement);
    } catch (error) {
      // Lost meanwhile: the next connection is proven again.
      if (this.redis.status !== 'ready') return;
      this.complain(error as Error);
      return this.redis.disconnect(true);
    }
    if (this.redis.status === 'ready') this.#becomeReady();
  }

  #options(connectionName: string) {
    return {
      connectionName,
      // CLIENT SETINFO (Redis 7.2) is nothing that our user may do, or needs.
      disableClientInfo: true,
      lazyConnect: true,
      connectTimeout: connectTimeoutMs,
      // How long a connection that we give up may take to say goodbye.
      disconnectTimeout: 250,
      keepAlive: keepAliveMs,
      // Nothing is queued or sent again behind our back: the relay knows what may be repeated.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      maxRetriesPerRequest: 0,
      enableReadyCheck: true,
      // Redis says LOADING while it reads its file: ask again soon.
      maxLoadingRetryTime: 1_000,
      // `#connectLater` does it.
      retryStrategy: () => null,
    } satisfies RedisOptions;
  }

  #becomeReady(): void {
    const downMs = Math.round(performance.now() - (this.#downSince ?? performance.now()));
    this.#connectingSince = null;
    this.#isReady = true;
    this.#hasWorked = true;
    this.#downSince = null;
    this.#fault = null;
    this.#attempts = 0;
    this.log.info({ event: 'redisConnected', downMs }, 'Connected to Redis.');
    this.#events.onReady?.();
  }

  #becomeLost(sentence = lostSentence, wasSilent = false): void {
    this.#connectingSince = null;
    if (!this.#isReady) return;
    this.#isReady = false;
    this.#downSince = performance.now();
    if (!this.#isClosed) {
      this.counters.redisReconnects++;
      this.log.warn({ event: 'redisLost' }, sentence);
    }
    for (const { reject } of this.#unanswered) reject(new Error('The connection to Redis was lost.'));
    this.#unanswered.clear();
    this.#events.onLost?.(wasSilent);
  }

  #checkTimeouts(): void {
    if (this.#isClosed) return;
    const now = performance.now();
    const [oldest] = this.#unanswered;
    if (oldest !== undefined && now - oldest.sentAt > this.#timeoutMs) {
      this.log.warn({ event: 'redisReset' }, `Redis has not answered for ${this.#timeoutMs} ms. Reconnecting.`);
      this.#becomeLost(lostSentence, true);
      this.redis.disconnect(true);
    } else if (this.#connectingSince !== null && now - this.#connectingSince > connectTimeoutMs + this.#timeoutMs) {
      // The TCP connection stands, but the handshake gets no answer: a paused Redis, or not a Redis at all.
      this.complain(new Error('handshake timed out'));
      this.#connectingSince = null;
      this.redis.disconnect(true);
    }
  }
}

interface Unanswered {
  readonly sentAt: number;
  reject(error: Error): void;
}

/** What ioredis says of its own commands when a connection is given up, which is said already. */
function isEcho({ message }: Error): boolean {
  return message.startsWith("Stream isn't writeable") || message === 'Connection is closed.';
}

/** The Sentinels are asked once more: nothing is wrong yet. */
function isRetried({ message }: Error): boolean {
  return message.startsWith('All sentinels are unreachable. Retrying');
}
