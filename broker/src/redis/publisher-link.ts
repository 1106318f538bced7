/** The connection that publishes and calls scripts. */
import type { Log } from '../observe/log.js';
import { isOutOfMemory, isUnknownInScript, isWriteRefusal } from './redis-fault.js';
import { type Command, Link, type LinkEvents, type RedisCounters } from './redis-link.js';
import type { RedisSettings } from './redis-options.js';
import { readRedisUrl } from './redis-url.js';
import type { Reply } from './reply-reader.js';
import type { Script, ScriptCall } from './script.js';

export interface RedisMessage {
  readonly channel: string;
  readonly message: Buffer;
}

/** Sends publications and scripts to Redis. */
export class PublisherLink extends Link {
  #hasWarned = false;
  #isOutOfMemory = false;
  /** The sources of the loaded scripts. */
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

  /** Whether Redis is full, according to its last answer to a refused write or to a probe. */
  get isOutOfMemory(): boolean {
    return this.#isOutOfMemory;
  }

  /** Remembers the answer of Redis to a write, or its error. */
  noteWrite(answer: unknown): void {
    this.#isOutOfMemory = answer instanceof Error && isOutOfMemory(answer);
  }

  override report(error: Error): void {
    if (isWriteRefusal(error)) this.noteWrite(error);
    if (isUnknownInScript(error)) void this.#findMissing(error);
    else super.report(error);
  }

  /** With failovers, a master that was cut off must stop accepting writes. Warns once if Redis does not ensure that. */
  async #checkMaster(): Promise<void> {
    if (this.#hasWarned) return;
    try {
      // INFO lists good replicas only if min-replicas-to-write is set. Our Redis user has no permission for CONFIG.
      const info = await this.info('replication');
      if (this.#hasWarned || !info.includes('role:master') || info.includes('min_slaves_good_slaves')) return;
    } catch {
      // The connection is lost, or INFO is not permitted. The scripts also need INFO, and report that.
      return;
    }
    this.#hasWarned = true;
    this.log.warn(
      { event: 'redisSettings', setting: 'min-replicas-to-write' },
      'Redis has Sentinels, but min-replicas-to-write is 0. After a network partition the old master keeps accepting publications, and these acknowledged publications are lost. Set min-replicas-to-write 1 on the master and its replicas, and run at least two replicas (docs/operations.md, Redis).',
    );
  }

  /** Publishes all messages. Never rejects: resolves with null or an error for each. */
  async publish(messages: readonly RedisMessage[]): Promise<readonly (Error | null)[]> {
    this.counters.redisPublishCommands += messages.length;
    const replies = await this.#send(messages.map(({ channel, message }) => ['SPUBLISH', channel, message]));
    return replies.map((reply) => (reply instanceof Error ? reply : null));
  }

  /** Publishes one message. Resolves with the number of connections that receive it; null if Redis does not say. */
  async publishCounted(channel: string, message: string): Promise<number | null> {
    this.counters.redisPublishCommands++;
    const [reply] = await this.#send([['SPUBLISH', channel, message]]);
    return typeof reply === 'number' ? reply : null;
  }

  /**
   * Reads one step of the keys of this database: streams whose names match `pattern`. Rejects if Redis does not answer,
   * or does not permit it.
   */
  async scanStreams(
    pattern: string,
    cursor: string,
    count: number,
  ): Promise<{ next: string; keys: readonly Buffer[] }> {
    const reply = await this.ask('SCAN', cursor, 'MATCH', pattern, 'COUNT', count, 'TYPE', 'stream');
    const [next, keys] = reply as readonly [Buffer, readonly Buffer[]];
    return { next: next.toString('latin1'), keys };
  }

  /** Calls scripts. Never rejects: resolves with the answer or error of each, bulk strings as Buffers. */
  evaluate(calls: readonly ScriptCall[]): Promise<readonly unknown[]> {
    this.counters.redisScriptCalls += calls.length;
    return this.#send(calls.map(({ script, keys, args }) => ['EVALSHA', script.sha, keys.length, ...keys, ...args]));
  }

  /** Sections of INFO. Rejects if Redis does not answer, or does not permit it. */
  async info(...sections: ('memory' | 'replication' | 'server' | 'stats')[]): Promise<string> {
    return String(await this.ask('INFO', ...sections));
  }

  /** Bytes that Redis buffers for one of its clients; 0 if that is unknown (no permission, or the client is gone). */
  async outputBufferBytes(clientId: number): Promise<number> {
    try {
      const line = await this.ask('CLIENT', 'LIST', 'ID', clientId);
      return Number(/ omem=(\d+)/.exec(String(line))?.[1] ?? 0);
    } catch {
      return 0;
    }
  }

  /** Loads scripts into Redis. Rejects if Redis refuses them. */
  async load(scripts: readonly Script[]): Promise<void> {
    this.#scriptSources = scripts.map(({ source }) => source).join('\n');
    for (const reply of await this.#send(scripts.map(({ source }) => ['SCRIPT', 'LOAD', source])))
      if (reply instanceof Error) throw reply;
  }

  /**
   * Reports an error among replies, unless the relay expects it: Redis has lost its scripts, is in a state that the node
   * does not know, or no longer has the keys (Redis Cluster).
   */
  reportReply(reply: Reply): void {
    if (reply instanceof Error && this.isReady && !/^(NOSCRIPT|STALE|MOVED)\b/.test(reply.message)) this.report(reply);
  }

  async #send(commands: readonly Command[]): Promise<readonly (Reply | Error)[]> {
    try {
      const replies = await this.call(commands);
      for (const reply of replies) this.reportReply(reply);
      return replies;
    } catch (error) {
      return commands.map(() => error as Error);
    }
  }

  /** Redis does not say which command of a script is missing, so this asks for all commands that the scripts call. */
  async #findMissing(refusal: Error): Promise<void> {
    const calls = this.#scriptSources.matchAll(/redis\.p?call\('(\w+)'/g);
    const names = [...new Set([...calls].map(([, name = '']) => name))];
    const known = await this.ask('COMMAND', 'INFO', ...names).catch(() => []);
    const missing = names.filter((_, index) => (known as readonly unknown[])[index] === null);
    super.report(
      missing.length === 0 ? refusal : new Error(`unknown command '${missing.join(', ')}' called from script`),
    );
  }
}

/** What users need of a connection that publishes, wherever it leads. */
export type PublishingLink = Pick<
  PublisherLink,
  | 'isReady'
  | 'commands'
  | 'evaluate'
  | 'load'
  | 'publish'
  | 'publishCounted'
  | 'scanStreams'
  | 'noteWrite'
  | 'report'
  | 'reportReply'
>;
