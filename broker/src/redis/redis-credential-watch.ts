/** Notices that a password or certificate for Redis has changed in its file, and tries it at once. */
import { FileWatch } from '../files/file-watch.js';
import type { Log } from '../observe/log.js';
import { CheckLink, type RedisCounters, type RedisSettings } from './redis.js';
import { filesOf, settingsOf } from './redis-credentials.js';

export class RedisCredentialWatch {
  readonly #settings: RedisSettings;
  readonly #log: Log;
  readonly #counters: RedisCounters;
  readonly #watch: FileWatch;
  /** While the present content of the files has not been accepted yet. */
  #check: CheckLink | null = null;

  constructor(settings: RedisSettings, log: Log, counters: RedisCounters) {
    this.#settings = settings;
    this.#log = log;
    this.#counters = counters;
    this.#watch = new FileWatch(filesOf(settings), () => this.#try());
  }

  close(): void {
    this.#watch.close();
    this.#endCheck();
  }

  /** The other connections stay: they use the new content when they connect the next time. */
  #try(): void {
    this.#endCheck();
    this.#check = new CheckLink(this.#settings, this.#log, this.#counters, {
      onReady: () => {
        this.#endCheck();
        const settings = settingsOf(this.#settings);
        this.#log.info(
          { event: 'redisCredentialsAccepted' },
          `The files of ${settings} have changed, and Redis accepts them. Each connection uses them at its next reconnect.`,
        );
      },
    });
  }

  #endCheck(): void {
    void this.#check?.close();
    this.#check = null;
  }
}
