/** Tests passwords and certificates for Redis as soon as their files have changed. */
import { FileWatch } from '../files/file-watch.js';
import type { Log } from '../observe/log.js';
import { CheckLink, type RedisCounters, type RedisSettings } from './redis.js';
import { filesOf, settingsOf } from './redis-credentials.js';

export class RedisCredentialWatch {
  readonly #watch: FileWatch;
  /** The test connection, until Redis has accepted the current content of the files. */
  #check: CheckLink | null = null;

  constructor(
    private readonly settings: RedisSettings,
    private readonly log: Log,
    private readonly counters: RedisCounters,
  ) {
    this.#watch = new FileWatch(filesOf(settings), () => this.#test());
  }

  close(): void {
    this.#watch.close();
    this.#endCheck();
  }

  /** The other connections stay open: they use the new content at their next reconnect. */
  #test(): void {
    this.#endCheck();
    this.#check = new CheckLink(this.settings, this.log, this.counters, {
      onReady: () => {
        this.#endCheck();
        const settings = settingsOf(this.settings);
        this.log.info(
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
