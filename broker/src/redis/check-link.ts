/** The connection that tests changed passwords and certificates. */
import type { Log } from '../observe/log.js';
import { settingsOf } from './redis-credentials.js';
import { Link, type LinkEvents, type RedisCounters } from './redis-link.js';
import type { RedisSettings } from './redis-options.js';

/**
 * Connects with the current files, and retries until it succeeds. So a mistake in a changed file shows immediately, not
 * at the next reconnect.
 */
export class CheckLink extends Link {
  constructor(settings: RedisSettings, log: Log, counters: RedisCounters, events: LinkEvents) {
    super('check', settings, log, counters, events);
  }

  protected override explain(error: Error): string {
    return `The files of ${settingsOf(this.settings)} have changed, and a new connection to Redis fails. Open connections continue to work. ${super.explain(error)}`;
  }
}
