/** The connections of a node to Redis: to publish, to publish to `durable` topics, and to listen; and all that we know about ioredis. */
import { type ChainableCommander, Redis, type RedisOptions } from 'ioredis';
import type { Log } from './log.js';
import {
  type RedisCredentialFiles,
  type RedisCredentials,
  RedisCredentialsError,
  readRedisCredentials,
  settingsOf,
} from './redis-credentials.js';
import {
  commandOf,
  explain,
  isOutOfMemory,
  isUnknownInScript,
  isWriteRefusal,
  reasonOf,
  ServerModeError,
} from './redis-fault.js';
import { type RedisAddress, readRedisUrl } from './redis-url.js';

export { isOfAnotherLayout, isOutOfMemory, isWriteRefusal } from './redis-fault.js';

export interface RedisSettings extends RedisCredentialFiles {
  readonly redisUrl: string;
  /** How long an answer of Redis may take, in milliseconds. Beyond it the connection is given up and made anew. */
  readonly redisTimeoutMs: number;
  readonly nodeName: string;
}

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

/**
 * Upper end of the pause between attempts to connect, in milliseconds; half of it is added or taken away at random. A node must be
 * back while the others wait for it after a loss of Redis' state (relay/recovery.ts).
 */
const maxRetryMs = 1_000;

/** How long TCP and TLS may take to connect, in milliseconds. */
const connectTimeoutMs = 2_000;

/** What both connections have in common: they come back by themselves, and say in the log what is wrong. */
abstract class Link {
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
  readonly #sentinels: SentinelWatch | null;

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
    this.#sentinels =
      role === 'check' ? null : SentinelWatch.start(settings, options.connectionName, () => this.reset());
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
    this.#sentinels?.close();
    this.redis.disconnect();
  }

  /** Tries to connect at once where it pauses between attempts: the server is there again, the other connection has found. */
  hurry(): void {
    if (this.#isClosed) return;
    if (this.redis.status === 'end') this.#connect();
  }

  /** Gives the connection up and makes it anew: it may look well and lead nowhere. */
  reset(): void {
    if (!this.#isReady) return;
    this.#becomeLost();
    this.redis.disconnect(true);
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
    return explain(error, { address: this.#address, isReady: this.#isReady, hasClientCertificate });
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
   * Only a server of the right kind, in the right database, is used. A user without permission for INFO is told so by the scripts, which need it
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
      lazyConnect: true,
      connectTimeout: connectTimeoutMs,
      // How long a connection that we give up may take to say goodbye.
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
      // `#connectLater` does it.
      retryStrategy: () => null,
    } satisfies RedisOptions;
  }

  #becomeReady(): void {
    const downMs = Math.round(performance.now() - (this.#downSince ?? performance.now()));
    this.#connectingSince = null;
    this.#isReady = true;
    this.#downSince = null;
    this.#fault = null;
    this.#attempts = 0;
    this.log.info({ event: 'redisConnected', downMs }, 'Connected to Redis.');
    this.#events.onReady?.();
  }

  #becomeLost(wasSilent = false): void {
    this.#connectingSince = null;
    if (!this.#isReady) return;
    this.#isReady = false;
    this.#downSince = performance.now();
    if (!this.#isClosed) {
      this.counters.redisReconnects++;
      this.log.warn({ event: 'redisLost' }, 'Lost the connection to Redis; trying again until it is back.');
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
      this.log.warn({ event: 'redisReset' }, `Redis has not answered for ${this.#timeoutMs} ms: connecting anew.`);
      this.#becomeLost(true);
      this.redis.disconnect(true);
    } else if (this.#connectingSince !== null && now - this.#connectingSince > connectTimeoutMs + this.#timeoutMs) {
      // The TCP connection stands, but the handshake gets no answer: a paused Redis, or not a Redis at all.
      this.complain(new Error('handshake timed out'));
      this.#connectingSince = null;
      this.redis.disconnect(true);
    }
  }
}

function addressOptions(address: RedisAddress, { redisTimeoutMs }: RedisSettings): RedisOptions {
  const { servers, socketPath, masterName, username, sentinelUsername, isTls, database } = address;
  const shared = { db: database, ...(username === null ? {} : { username }) };
  if (socketPath !== null) return { ...shared, path: socketPath };
  if (masterName === null) return { ...shared, ...servers[0] };
  return {
    ...shared,
    sentinels: [...servers],
    name: masterName,
    ...(sentinelUsername === null ? {} : { sentinelUsername }),
    ...(isTls ? { enableTLSForSentinelMode: true } : {}),
    sentinelCommandTimeout: redisTimeoutMs,
    // ioredis goes on in its list where it stopped the last time: once more from the start, then the pause of a connection that failed.
    sentinelRetryStrategy: (attempt) => (attempt === 1 ? 10 : null),
  };
}

/**
 * Hears from the Sentinels that another server has become the master. They demote the old one only ten seconds later; until then it
 * goes on acknowledging publications, which are lost. (ioredis has `failoverDetector` for this: docs/decisions.md says why it is not used.)
 */
class SentinelWatch {
  readonly #sentinels: readonly Redis[];

  /** Null if no Sentinels are configured. */
  static start(settings: RedisSettings, connectionName: string, onSwitch: () => void): SentinelWatch | null {
    const address = readRedisUrl(settings.redisUrl);
    return address.masterName === null ? null : new SentinelWatch(settings, address, connectionName, onSwitch);
  }

  private constructor(settings: RedisSettings, address: RedisAddress, connectionName: string, onSwitch: () => void) {
    let announced = '';
    this.#sentinels = address.servers.map((server) => {
      const sentinel = new Redis({
        ...server,
        ...sentinelOptions(address, settings),
        connectionName,
        connectTimeout: connectTimeoutMs,
        enableReadyCheck: false,
        maxRetriesPerRequest: null,
        retryStrategy: (attempt) => {
          Object.assign(sentinel.options, sentinelOptions(address, settings));
          return retryDelayMs(attempt);
        },
      });
      // If no Sentinel answers, the link logs it when it needs one.
      sentinel.on('error', () => undefined);
      sentinel.on('message', (_channel: string, message: string) => {
        // The name, the address of the old master and that of the new one. Each Sentinel announces it.
        const [name, , , host, port] = message.split(' ');
        const master = `${host}:${port}`;
        if (name !== address.masterName || master === announced) return;
        announced = master;
        onSwitch();
      });
      sentinel.subscribe('+switch-master').catch(() => {
        // Closed, or not permitted: then the switch is noticed when the old master is demoted.
      });
      return sentinel;
    });
  }

  close(): void {
    for (const sentinel of this.#sentinels) sentinel.disconnect();
  }
}

/** How to connect to a Sentinel itself. Files that cannot be read are logged by the link, which reads them too. */
function sentinelOptions(address: RedisAddress, settings: RedisSettings): RedisOptions {
  try {
    const { sentinelPassword, sentinelTLS } = credentialOptions(address, readRedisCredentials(settings));
    return {
      ...(address.sentinelUsername === null ? {} : { username: address.sentinelUsername }),
      ...(sentinelPassword === undefined ? {} : { password: sentinelPassword }),
      ...(sentinelTLS === undefined ? {} : { tls: sentinelTLS }),
    };
  } catch (error) {
    if (!(error instanceof RedisCredentialsError)) throw error;
    return {};
  }
}

/** How long to wait before the next attempt to connect, in milliseconds. */
function retryDelayMs(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt, 10), maxRetryMs) * (0.5 + Math.random());
}

/** What may change while the node runs. */
function credentialOptions(address: RedisAddress, credentials: RedisCredentials): RedisOptions {
  const { ca, cert, key } = credentials;
  const password = credentials.password ?? address.password;
  const sentinelPassword = credentials.sentinelPassword ?? address.sentinelPassword;
  const tls = { ...(ca === null ? {} : { ca }), ...(cert === null || key === null ? {} : { cert, key }) };
  return {
    ...(password === null ? {} : { password }),
    ...(sentinelPassword === null ? {} : { sentinelPassword }),
    ...(address.isTls ? { tls, sentinelTLS: tls } : {}),
  };
}

interface Unanswered {
  readonly sentAt: number;
  reject(error: Error): void;
}

export interface RedisMessage {
  readonly channel: string;
  readonly message: Buffer;
}

/** One call of a Lua script. */
export interface ScriptCall {
  readonly script: { readonly source: string; readonly sha: string };
  readonly keys: readonly string[];
  readonly args: readonly (string | number | Buffer)[];
}

/** Sends publications and scripts to Redis, one pipeline at a time as the caller made it. */
export class PublisherLink extends Link {
  #hasWarned = false;
  #isOutOfMemory = false;
  /** Of the scripts that were loaded. */
  #scriptSources = '';

  constructor(
    settings: RedisSettings,
    log: Log,
    counters: RedisCounters,
    events: LinkEvents,
    role: 'publisher' | 'durable' = 'publisher',
  ) {
    super(role, settings, log, counters, {
      ...events,
      onReady: () => {
        if (role === 'publisher' && readRedisUrl(settings.redisUrl).masterName !== null) void this.#checkMaster();
        events.onReady?.();
      },
      onLost: (wasSilent) => {
        this.#isOutOfMemory = false;
        events.onLost?.(wasSilent);
      },
    });
  }

  /** Whether Redis is full, by what it said to the last write that it refused, or to the last probe where that is later. */
  get isOutOfMemory(): boolean {
    return this.#isOutOfMemory;
  }

  /** Takes what Redis said to a write: an error, or its answer. */
  noteWrite(answer: unknown): void {
    this.#isOutOfMemory = answer instanceof Error && isOutOfMemory(answer);
  }

  override complain(error: Error): void {
    if (isWriteRefusal(error)) this.noteWrite(error);
    if (isUnknownInScript(error)) void this.#findMissing(error);
    else super.complain(error);
  }

  /** Where there are failovers, a master that was cut off must not go on beside the next one. Said once, of whichever master. */
  async #checkMaster(): Promise<void> {
    if (this.#hasWarned) return;
    try {
      // Redis names its good replicas only where it asks for some; CONFIG is nothing that our user may do.
      const info = await this.track(this.redis.info('replication'));
      if (this.#hasWarned || !info.includes('role:master') || info.includes('min_slaves_good_slaves')) return;
    } catch {
      // Lost, or not permitted, which the scripts need too.
      return;
    }
    this.#hasWarned = true;
    this.log.warn(
      { event: 'redisSettings', setting: 'min-replicas-to-write' },
      'Redis has Sentinels, and min-replicas-to-write is 0: a master that was cut off goes on taking publications beside the new one, and they are lost although they were acknowledged. Set min-replicas-to-write 1 on the master and its replicas, of which there should be two (docs/operations.md, Redis).',
    );
  }

  /** PUBLISHes all messages in one pipeline. Resolves, never rejects, with what became of each: null or an error. */
  async publish(messages: readonly RedisMessage[]): Promise<readonly (Error | null)[]> {
    const pipeline = this.redis.pipeline();
    for (const { channel, message } of messages) pipeline.publish(channel, message);
    this.counters.redisPublishCommands += messages.length;
    const results = await this.#execute(pipeline, messages.length);
    return results.map((result) => (result instanceof Error ? result : null));
  }

  /**
   * Calls scripts in one pipeline. Resolves, never rejects, with the answer or error of each, bulk strings as Buffers. With `wait`, the last
   * element is how many replicas have all that was written here (WAIT), or an error.
   */
  evaluate(calls: readonly ScriptCall[], wait: Wait | null = null): Promise<readonly unknown[]> {
    const pipeline = this.redis.pipeline();
    for (const { script, keys, args } of calls)
      pipeline.callBuffer('EVALSHA', script.sha, keys.length, ...keys, ...args);
    if (wait !== null) pipeline.wait(wait.replicas, wait.timeoutMs);
    this.counters.redisScriptCalls += calls.length;
    return this.#execute(pipeline, calls.length + (wait === null ? 0 : 1));
  }

  /** A section of INFO. Rejects if Redis does not answer, or does not permit it. */
  info(section: 'memory' | 'stats'): Promise<string> {
    return this.track(this.redis.info(section));
  }

  /** Bytes that Redis holds for one of its clients to read; 0 where it does not say: it may not be asked, or the client is gone. */
  async outputBufferBytes(clientId: number): Promise<number> {
    try {
      const line = await this.track(this.redis.client('LIST', 'ID', clientId));
      return Number(/ omem=(\d+)/.exec(String(line))?.[1] ?? 0);
    } catch {
      return 0;
    }
  }

  /** Makes scripts known to Redis. Rejects where it refuses. */
  async load(scripts: readonly ScriptCall['script'][]): Promise<void> {
    this.#scriptSources = scripts.map(({ source }) => source).join('\n');
    const pipeline = this.redis.pipeline();
    for (const { source } of scripts) pipeline.script('LOAD', source);
    for (const result of await this.#execute(pipeline, scripts.length)) if (result instanceof Error) throw result;
  }

  async #execute(pipeline: ChainableCommander, length: number): Promise<readonly unknown[]> {
    this.counters.redisPipelines++;
    try {
      const results = await this.track(pipeline.exec());
      const answers = Array.from({ length }, (_, index) => results?.[index]?.[0] ?? results?.[index]?.[1]);
      const refusal = answers.find((answer) => answer instanceof Error && !isExpected(answer));
      if (refusal instanceof Error && this.isReady) this.complain(refusal);
      return answers;
    } catch (error) {
      return Array.from({ length }, () => error as Error);
    }
  }

  /** Redis does not say which command a script lacks: asks for all that the scripts call. */
  async #findMissing(refusal: Error): Promise<void> {
    const calls = this.#scriptSources.matchAll(/redis\.p?call\('(\w+)'/g);
    const names = [...new Set([...calls].map(([, name = '']) => name))];
    const known = await this.track(this.redis.call('COMMAND', 'INFO', ...names)).catch(() => []);
    const missing = names.filter((_, index) => (known as readonly unknown[])[index] === null);
    super.complain(
      missing.length === 0 ? refusal : new Error(`unknown command '${missing.join(', ')}' called from script`),
    );
  }
}

/** Keeps small things in Redis that all nodes share. */
export class StoreLink extends Link {
  constructor(settings: RedisSettings, log: Log, counters: RedisCounters, events: LinkEvents) {
    super('auth', settings, log, counters, events);
  }

  /** Carries out commands in one pipeline. Resolves with their answers; rejects where one fails, or Redis cannot be reached. */
  async run(commands: readonly (readonly [name: string, ...args: (string | number)[]])[]): Promise<readonly unknown[]> {
    const pipeline = this.redis.pipeline();
    for (const [name, ...args] of commands) pipeline.call(name, ...args);
    try {
      const results = (await this.track(pipeline.exec())) ?? [];
      for (const [error] of results) if (error !== null) throw error;
      return results.map(([, answer]) => answer);
    } catch (error) {
      if (this.isReady) this.complain(error as Error);
      throw error;
    }
  }
}

/**
 * Connects once with the passwords and certificates of now, and again until that succeeds: a mistake in a changed file shows at once, not when a
 * connection is lost months later.
 */
export class CheckLink extends Link {
  constructor(settings: RedisSettings, log: Log, counters: RedisCounters, events: LinkEvents) {
    super('check', settings, log, counters, events);
  }

  protected override explain(error: Error): string {
    return `The files of ${settingsOf(this.settings)} have changed, and a new connection to Redis fails; those that are open go on until they are lost. ${super.explain(error)}`;
  }
}

/** How many replicas are waited for, and how long. */
export interface Wait {
  readonly replicas: number;
  readonly timeoutMs: number;
}

/** What Redis answers where its scripts were flushed, or its state is another than the node knows: the relay sees to it. */
function isExpected(error: Error): boolean {
  return /^(NOSCRIPT|STALE)\b/.test(error.message);
}

/** Most channels in one SUBSCRIBE or UNSUBSCRIBE, so that Redis is not held up by one command. */
export const maxChannelsPerCommand = 512;

/** Listens to channels of Redis. */
export class SubscriberLink extends Link {
  /** As Redis calls this connection; null where it has not said. */
  clientId: number | null = null;

  constructor(
    settings: RedisSettings,
    log: Log,
    counters: RedisCounters,
    events: LinkEvents & { onMessage(channel: Buffer, message: Buffer): void },
  ) {
    super('subscriber', settings, log, counters, {
      onReady: () => {
        this.#askClientId();
        events.onReady?.();
      },
      onLost: (wasSilent) => {
        this.clientId = null;
        events.onLost?.(wasSilent);
      },
    });
    // Only this event: with a listener for 'message', ioredis would decode every message to a string too.
    this.redis.on('messageBuffer', (channel: Buffer, message: Buffer) => {
      // A connection that was given up may go on delivering for a moment: what it loses behind that nobody would tell.
      if (this.isReady) events.onMessage(channel, message);
    });
  }

  /** As long as nothing is subscribed to: a connection that listens may not ask. */
  #askClientId(): void {
    this.track(this.redis.client('ID')).then(
      (id) => {
        this.clientId = id;
      },
      () => {
        // It may not be asked: what it holds for us is not known then.
      },
    );
  }

  /** At most {@link maxChannelsPerCommand} channels. Resolves when Redis has confirmed all; rejects where it refuses, or the connection breaks. */
  subscribe(channels: readonly string[]): Promise<void> {
    this.counters.redisSubscribeCommands++;
    return this.#carryOut(this.redis.subscribe(...channels));
  }

  /** As {@link subscribe}. Commands are carried out in the order of the calls. */
  unsubscribe(channels: readonly string[]): Promise<void> {
    this.counters.redisUnsubscribeCommands++;
    return this.#carryOut(this.redis.unsubscribe(...channels));
  }

  async #carryOut(command: Promise<unknown>): Promise<void> {
    try {
      await this.track(command);
    } catch (error) {
      if (this.isReady) this.complain(error as Error);
      throw error;
    }
  }
}

/** What ioredis says of its own commands when a connection is given up, which is said already. */
function isEcho({ message }: Error): boolean {
  return message.startsWith("Stream isn't writeable") || message === 'Connection is closed.';
}

/** The Sentinels are asked once more: nothing is wrong yet. */
function isRetried({ message }: Error): boolean {
  return message.startsWith('All sentinels are unreachable. Retrying');
}
