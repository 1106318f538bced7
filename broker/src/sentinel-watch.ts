/** Hears of planned failovers before the old master is demoted. */
import { Redis } from 'ioredis';
import { connectTimeoutMs, type RedisSettings, retryDelayMs, sentinelOptions } from './redis-options.js';
import { type RedisAddress, readRedisUrl } from './redis-url.js';

/**
 * Hears from the Sentinels that another server has become the master. They demote the old one only ten seconds later; until then it
 * goes on acknowledging publications, which are lost. (ioredis has `failoverDetector` for this: docs/decisions.md says why it is not used.)
 */
export class SentinelWatch {
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
