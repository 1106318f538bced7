/** The connection that publishes and calls scripts. */
import type { ChainableCommander } from 'ioredis';
import type { Log } from '../observe/log.js';
import { isOutOfMemory, isUnknownInScript, isWriteRefusal } from './redis-fault.js';
import { Link, type LinkEvents, type RedisCounters } from './redis-link.js';
import type { RedisSettings } from './redis-options.js';
import { readRedisUrl } from './redis-url.js';
import type { Script, ScriptCall } from './script.js';

export interface RedisMessage {
  readonly channel: string;
  readonly message: Buffer;
}

/** How many replicas are waited for, and how long. */
export interface Wait {
  readonly replicas: number;
  readonly timeoutMs: number;
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
      'Redis has Sentinels, but min-replicas-to-write is 0. After a network partition the old master keeps accepting publications, and these acknowledged publications are lost. Set min-replicas-to-write 1 on the master and its replicas, and run at least two replicas (docs/operations.md, Redis).',
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

  /** Sections of INFO. Rejects if Redis does not answer, or does not permit it. */
  info(...sections: ('memory' | 'server' | 'stats')[]): Promise<string> {
    return this.track(this.redis.info(...sections));
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
  async load(scripts: readonly Script[]): Promise<void> {
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

/** What Redis answers where its scripts were flushed, or its state is another than the node knows: the relay sees to it. */
function isExpected(error: Error): boolean {
  return /^(NOSCRIPT|STALE)\b/.test(error.message);
}
