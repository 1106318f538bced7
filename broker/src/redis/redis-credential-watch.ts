/** Tests passwords and certificates for Redis as soon as their files have changed. */
import { FileWatch } from '../files/file-watch.js';
import type { Log } from '../observe/log.js';
import { nameOf, readPlacement, urlsOf } from './placement.js';
import { CheckLink, type RedisCounters, type RedisSettings } from './redis.js';
import { filesOf, settingsOf } from './redis-credentials.js';
import { readRedisUrl } from './redis-url.js';

export class RedisCredentialWatch {
  readonly #watch: FileWatch;
  /** The test connections, one for each server of the URL, until it has accepted the current content of the files. */
  readonly #checks = new Set<CheckLink>();

  /** `settings.redisUrl`: FANFARE_REDIS_URL, which may list several servers. */
  constructor(
    private readonly settings: RedisSettings,
    private readonly log: Log,
    private readonly counters: RedisCounters,
  ) {
    this.#watch = new FileWatch(filesOf(settings), () => this.#test());
  }

  close(): void {
    this.#watch.close();
    this.#endChecks();
  }

  /** The other connections stay open: they use the new content at their next reconnect. */
  #test(): void {
    this.#endChecks();
    const placement = readPlacement(this.settings.redisUrl);
    const isCluster = placement.kind === 'cluster';
    for (const redisUrl of urlsOf(placement)) {
      const log = placement.kind === 'single' ? this.log : this.log.child({ shard: nameOf(readRedisUrl(redisUrl)) });
      const check: CheckLink = new CheckLink({ ...this.settings, redisUrl, isCluster }, log, this.counters, {
        onReady: () => this.#accept(check),
      });
      this.#checks.add(check);
    }
  }

  #accept(check: CheckLink): void {
    void check.close();
    this.#checks.delete(check);
    if (this.#checks.size > 0) return;
    const settings = settingsOf(this.settings);
    this.log.info(
      { event: 'redisCredentialsAccepted' },
      `The files of ${settings} have changed, and Redis accepts them. Each connection uses them at its next reconnect.`,
    );
  }

  #endChecks(): void {
    for (const check of this.#checks) void check.close();
    this.#checks.clear();
  }
}
