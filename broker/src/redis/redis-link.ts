/** A connection of a node to Redis: connects, reconnects, and logs what is wrong. */
import { Redis, type RedisOptions } from 'ioredis';
import type { Log } from '../observe/log.js';
import { CollectedCall, CommandStream, lostError } from './command-stream.js';
import type { Argument } from './command-writer.js';
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
import type { ChannelMessage, Reply } from './reply-reader.js';

/** metrics.ts describes each counter. */
export interface RedisCounters {
  redisPublishCommands: number;
  redisScriptCalls: number;
  redisSubscribeCommands: number;
  redisUnsubscribeCommands: number;
  redisPipelines: number;
  redisReconnects: number;
  /** Keys that Redis has evicted since this node connected. */
  redisEvictions: number;
}

export interface LinkEvents {
  /** The connection works. */
  onReady?(): void;
  /**
   * The connection failed. Pending commands may have arrived or not. `wasSilent`: Redis has not answered in time, and
   * may hang.
   */
  onLost?(wasSilent: boolean): void;
  onMessage?(message: ChannelMessage): void;
  /** A reply that no command asked for. Returns whether it is expected; if not, the connection is closed. */
  onPush?(reply: Reply): boolean;
}

export type Command = readonly [name: string, ...args: Argument[]];

/** How often a lasting fault is logged, in milliseconds. */
const logIntervalMs = 10_000;

const lostSentence = 'Lost the connection to Redis. Reconnecting.';

/**
 * The common part of all connections: it reconnects by itself, and logs what is wrong. ioredis makes the connection: it
 * handles Sentinels, TLS, the password and the database. Once the connection works, only {@link CommandStream} reads
 * and writes it.
 */
export abstract class Link {
  readonly #redis: Redis;
  #commands: CommandStream | null = null;
  protected readonly counters: RedisCounters;
  protected readonly log: Log;
  readonly #events: LinkEvents;
  protected readonly settings: RedisSettings;
  readonly #address: RedisAddress;
  readonly #timeoutMs: number;
  readonly #watch: NodeJS.Timeout;
  #retry: NodeJS.Timeout | undefined;
  /** Whether the connection has ever worked: if so, its settings are correct. */
  #hasWorked = false;
  #isClosed = false;
  /** When the current outage began; null while the connection works. All times are of performance.now(). */
  #downSince: number | null = performance.now();
  /** When each sentence was last logged. */
  readonly #loggedAt = new Map<string, number>();
  /** The last fault, and when it was found. */
  #fault: { readonly sentence: string; readonly at: number } | null = null;
  /** Attempts to connect since the connection last worked. */
  #attempts = 0;
  /** When the current attempt to connect began; null between attempts and while connected. */
  #connectingSince: number | null = null;

  constructor(
    role: 'publisher' | 'durable' | 'subscriber' | 'auth' | 'check' | 'shards' | 'seed',
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
    this.#redis = new Redis({ ...options, ...addressOptions(this.#address, settings) });
    ignoreLaterErrors(this.#redis);
    this.#redis.on('connecting', () => {
      this.#connectingSince = performance.now();
    });
    this.#redis.on('ready', () => void this.#verify());
    this.#redis.on('close', () => this.#becomeLost());
    this.#redis.on('end', () => this.#connectLater());
    this.#redis.on('error', (error: Error) => {
      // ioredis continues in database 0 if SELECT is refused. `#verify` handles that.
      if (!isRetried(error) && commandOf(error) !== 'select') this.report(error);
    });
    // Checked after the poll phase, not in the timer: if the event loop was blocked, answers may have arrived that were
    // not read yet.
    this.#watch = setInterval(
      () => setImmediate(() => this.#checkTimeouts()),
      Math.max(20, settings.redisTimeoutMs / 10),
    );
    this.#watch.unref();
    settings.sentinels?.add(this.#onAnnounced);
    this.#connect();
  }

  get isReady(): boolean {
    return this.#commands !== null;
  }

  /** Sends commands and matches replies; null while the connection does not work. */
  get commands(): CommandStream | null {
    return this.#commands;
  }

  /** A sentence about the current fault; null if there was none recently. */
  get fault(): string | null {
    const fault = this.#fault;
    return fault !== null && performance.now() - fault.at < logIntervalMs ? fault.sentence : null;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    this.settings.sentinels?.remove(this.#onAnnounced);
    this.#redis.disconnect();
  }

  /** Connects immediately instead of waiting for the next attempt, because another connection has found the server. */
  reconnectNow(): void {
    if (this.#isClosed) return;
    if (this.#redis.status === 'end') this.#connect();
  }

  /**
   * Closes the connection and opens a new one. Use it if the connection may look healthy but deliver nothing. `why`: a
   * reason for the log.
   */
  reset(why: string | null = null): void {
    if (!this.isReady) return;
    this.#becomeLost(`Closed the connection to Redis${why === null ? '' : `: ${why}`}. Reconnecting.`);
    this.#redis.disconnect(true);
  }

  readonly #onAnnounced = (): void => {
    const replacement = this.isReady ? this.#replacement() : null;
    if (replacement !== null) this.reset(`the Sentinels announced ${replacement} as the new master`);
  };

  /**
   * The master that the Sentinels have announced; null if this connection already uses it, or if there is no
   * announcement.
   */
  #replacement(): string | null {
    const { remoteAddress, remotePort } = this.#redis.stream;
    if (remoteAddress === undefined || remotePort === undefined) return null;
    return this.settings.sentinels?.replacementOf(remoteAddress, remotePort) ?? null;
  }

  /**
   * Sends commands. Resolves with one reply per command; an error is a reply, too. Rejects if the connection is lost or
   * does not work.
   */
  protected call(commands: readonly Command[]): Promise<readonly Reply[]> {
    return new Promise((resolve, reject) => {
      const stream = this.#commands;
      if (stream === null) return reject(lostError());
      if (commands.length === 0) return resolve([]);
      for (const command of commands) {
        stream.writer.command(command.length);
        for (const part of command) stream.writer.part(part);
      }
      stream.expect(new CollectedCall(commands.length, resolve, reject));
    });
  }

  /**
   * Sends one command. Resolves with its reply. Rejects with the error that Redis returns, or if the connection is
   * lost.
   */
  protected async ask(...command: Command): Promise<Reply> {
    const [reply = null] = await this.call([command]);
    if (reply instanceof Error) throw reply;
    return reply;
  }

  /** Logs a fault: immediately if it is new, then every ten seconds while it lasts or recurs. */
  report(error: Error): void {
    if (this.#isClosed || isConsequence(error)) return;
    const sentence = this.explain(error);
    const now = performance.now();
    this.#fault = { sentence, at: now };
    if (now - (this.#loggedAt.get(sentence) ?? Number.NEGATIVE_INFINITY) < logIntervalMs) return;
    this.#loggedAt.set(sentence, now);
    const downMs = this.#downSince === null ? 0 : Math.round(now - this.#downSince);
    this.log.error({ event: 'redisError', downMs, reason: reasonOf(error) }, sentence);
  }

  protected explain(error: Error): string {
    const { isCluster = false, redisCertFile = null } = this.settings;
    const hasClientCertificate = redisCertFile !== null;
    return explain(error, { address: this.#address, hasWorked: this.#hasWorked, hasClientCertificate, isCluster });
  }

  /** Reads the files of passwords and certificates each time, so that changed ones are used at the next attempt. */
  #connect(): void {
    clearTimeout(this.#retry);
    this.#attempts++;
    try {
      Object.assign(this.#redis.options, credentialOptions(this.#address, readRedisCredentials(this.settings)));
    } catch (error) {
      // The previous content may still be valid.
      if (!(error instanceof RedisCredentialsError)) throw error;
      this.report(error);
    }
    this.#redis.connect().catch(() => {
      // The event 'error' reports it, and 'end' retries.
    });
  }

  #connectLater(): void {
    this.#connectingSince = null;
    if (this.#isClosed) return;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connect(), retryDelayMs(this.#attempts));
  }

  /**
   * Checks the kind of the server, selects the database, and refuses a replaced master. A missing permission for INFO
   * is ignored here: the scripts need it too and report it.
   */
  async #verify(): Promise<void> {
    const { database } = this.#address;
    const { isCluster = false } = this.settings;
    try {
      if (database !== 0) await this.#redis.select(database);
      const info = await this.#redis.info('server').catch((error: Error) => {
        if (error.message.startsWith('NOPERM')) return '';
        throw error;
      });
      const mode = /^(?:redis|server)_mode:(\w+)/m.exec(info)?.[1] ?? null;
      // A proxy or a fork may call the mode of a plain Redis by another name.
      const isOther = isCluster ? mode !== 'cluster' : mode === 'cluster' || mode === 'sentinel';
      if (mode !== null && isOther) throw new ServerModeError(mode);
      // A Sentinel that does not know of a failover yet returns the old master. ioredis asks the next Sentinel at the
      // next attempt.
      const replacement = this.#replacement();
      if (replacement !== null) throw new ReplacedMasterError(replacement);
    } catch (error) {
      // The connection was lost meanwhile. The next connection is checked again.
      if (this.#redis.status !== 'ready') return;
      this.report(error as Error);
      return this.#redis.disconnect(true);
    }
    // The socket of an attempt that was given up (#checkTimeouts) still receives answers until it closes.
    if (this.#redis.status === 'ready' && this.#redis.stream.writable) this.#becomeReady();
  }

  #options(connectionName: string) {
    return {
      connectionName,
      // CLIENT SETINFO (Redis 7.2) is not needed, and our Redis user has no permission for it.
      disableClientInfo: true,
      lazyConnect: true,
      connectTimeout: connectTimeoutMs,
      // How long an abandoned connection may take to close.
      disconnectTimeout: 250,
      keepAlive: keepAliveMs,
      // The library must not queue or resend anything: only the relay knows what may be repeated.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      maxRetriesPerRequest: 0,
      enableReadyCheck: true,
      // Redis answers LOADING while it reads its file: retry soon.
      maxLoadingRetryTime: 1_000,
      // `#connectLater` retries.
      retryStrategy: () => null,
    } satisfies RedisOptions;
  }

  #becomeReady(): void {
    const downMs = Math.round(performance.now() - (this.#downSince ?? performance.now()));
    this.#connectingSince = null;
    const { onMessage, onPush } = this.#events;
    this.#commands = new CommandStream(this.#redis.stream, {
      ...(onMessage === undefined ? {} : { onMessage }),
      ...(onPush === undefined ? {} : { onPush }),
      onWrite: () => {
        this.counters.redisPipelines++;
      },
      onProtocolError: (error) => {
        this.report(error);
        this.#becomeLost();
        this.#redis.disconnect(true);
      },
    });
    this.#hasWorked = true;
    this.#downSince = null;
    this.#fault = null;
    this.#attempts = 0;
    this.log.info({ event: 'redisConnected', downMs }, 'Connected to Redis.');
    this.#events.onReady?.();
  }

  #becomeLost(sentence = lostSentence, wasSilent = false): void {
    this.#connectingSince = null;
    const commands = this.#commands;
    if (commands === null) return;
    this.#commands = null;
    this.#downSince = performance.now();
    if (!this.#isClosed) {
      this.counters.redisReconnects++;
      this.log.warn({ event: 'redisLost' }, sentence);
    }
    commands.close();
    this.#events.onLost?.(wasSilent);
  }

  #checkTimeouts(): void {
    if (this.#isClosed) return;
    const now = performance.now();
    const waitingSince = this.#commands?.waitingSince ?? null;
    if (waitingSince !== null && now - waitingSince > this.#timeoutMs) {
      this.log.warn({ event: 'redisReset' }, `Redis has not answered for ${this.#timeoutMs} ms. Reconnecting.`);
      this.#becomeLost(lostSentence, true);
      this.#redis.disconnect(true);
    } else if (this.#connectingSince !== null && now - this.#connectingSince > connectTimeoutMs + this.#timeoutMs) {
      // TCP is connected, but the handshake gets no answer: Redis is paused, or this is not a Redis.
      this.report(new Error('handshake timed out'));
      this.#connectingSince = null;
      this.#redis.disconnect(true);
    }
  }
}

/** Errors of commands on an abandoned connection, whose fault is already logged. */
function isConsequence({ message }: Error): boolean {
  return message.startsWith("Stream isn't writeable") || message === 'Connection is closed.';
}

/** ioredis asks the Sentinels once more, so this is not a fault yet. */
function isRetried({ message }: Error): boolean {
  return message.startsWith('All sentinels are unreachable. Retrying');
}
