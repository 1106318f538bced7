/** A connection of `fanfare shards` to one shard. */
import { pino } from 'pino';
import { ServerModeError } from '../redis/redis-fault.js';
import { type Command, Link } from '../redis/redis-link.js';
import type { RedisSettings } from '../redis/redis-options.js';
import type { Reply } from '../redis/reply-reader.js';
import type { ScriptCall } from '../redis/script.js';

/** The shards cannot be changed. The message is a sentence for the operator: what is wrong, and what to do. */
export class ShardsError extends Error {
  override readonly name = 'ShardsError';
}

/** How long the lock of the map holds after the command has died, in milliseconds. */
export const lockMs = 30_000;

/** What the operator wrote is wrong: the URL, a setting, the name of a shard or a list of partitions. */
export class ShardsUsageError extends ShardsError {}

/** How long a shard may take until the first answer, in milliseconds. */
const openMs = 5_000;

/** Every link counts and logs. A command needs neither: it prints what is wrong. */
const noCounters = {
  redisPublishCommands: 0,
  redisScriptCalls: 0,
  redisSubscribeCommands: 0,
  redisUnsubscribeCommands: 0,
  redisPipelines: 0,
  redisReconnects: 0,
  redisEvictions: 0,
};
const noLog = pino({ level: 'silent' });

export class ShardLink extends Link {
  readonly #ready: Promise<void>;

  /** `name`: of the shard. */
  constructor(
    readonly shard: string,
    settings: RedisSettings,
  ) {
    let onReady = (): void => undefined;
    super('shards', settings, noLog, { ...noCounters }, { onReady: () => onReady() });
    this.#ready = new Promise((resolve) => {
      onReady = resolve;
    });
  }

  /** Resolves when the shard answers. Rejects with {@link ShardsError} if it does not within five seconds. */
  async ready(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      const refuse = (): void => reject(new ShardsError(`${this.shard}: ${this.fault ?? 'Redis does not respond.'}`));
      timer = setTimeout(refuse, openMs);
    });
    try {
      await Promise.race([this.#ready, tooLate]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends commands. Resolves with a reply for each. Rejects with {@link ShardsError} if one of them fails. */
  async run(commands: readonly Command[]): Promise<readonly Reply[]> {
    const replies = await this.call(commands).catch(() => {
      throw new ShardsError(`Lost the connection to ${this.shard}. Run the command again when it is back.`);
    });
    for (const reply of replies) if (reply instanceof Error) throw this.#refusal(reply);
    return replies;
  }

  /** Calls a script. Rejects like {@link run}. */
  async evaluate({ script, keys, args }: ScriptCall): Promise<Reply> {
    const [reply = null] = await this.run([['EVAL', script.source, keys.length, ...keys, ...args]]);
    return reply;
  }

  /** Another command may have changed what this one wanted to change. */
  lockLost(): ShardsError {
    return new ShardsError(
      `The map of ${this.shard} has changed meanwhile, or this command hung for longer than ${lockMs / 1_000} seconds. Run it again.`,
    );
  }

  /** A number of the server process: two names of the same Redis have the same. */
  async runId(): Promise<string> {
    const [info] = await this.run([['INFO', 'server']]);
    return /^run_id:(\w+)/m.exec(String(info))?.[1] ?? '';
  }

  protected override explain(error: Error): string {
    if (error instanceof ServerModeError && error.mode === 'cluster')
      return 'This server belongs to a Redis Cluster, so it cannot be a shard. List only Redis servers without cluster mode (cluster-enabled no).';
    return super.explain(error);
  }

  #refusal(error: Error): ShardsError {
    if (error.message.startsWith('LOCKLOST')) return this.lockLost();
    if (error.message.startsWith('NOGENERATION'))
      return new ShardsError(`The nodes restore lost data in ${this.shard} now. Run the command again in a moment.`);
    if (/DUMP payload version/.test(error.message))
      return new ShardsError(`${this.shard} is an older Redis than the shard that gives it data. Upgrade it first.`);
    return new ShardsError(`${this.shard}: ${this.explain(error)}`);
  }
}
