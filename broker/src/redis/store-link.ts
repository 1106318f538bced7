/** The connection of authentication. */
import type { Log } from '../observe/log.js';
import { Link, type LinkEvents, type RedisCounters } from './redis-link.js';
import type { RedisSettings } from './redis-options.js';

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
