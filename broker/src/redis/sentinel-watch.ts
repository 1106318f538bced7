/**
 * Learns of planned failovers before the old master is demoted. One for each node, for all its connections to Redis.
 */
import { lookup } from 'node:dns/promises';
import { Redis } from 'ioredis';
import type { Log } from '../observe/log.js';
import { reasonOf } from './redis-fault.js';
import {
  connectTimeoutMs,
  ignoreLaterErrors,
  keepAliveMs,
  type RedisSettings,
  retryDelayMs,
  sentinelOptions,
} from './redis-options.js';
import { type RedisAddress, readRedisUrl } from './redis-url.js';

/**
 * How long only the announced server is used, in milliseconds. The Sentinels agree within a few seconds, and demote the
 * old master after about ten. It must not be much longer, because the node may miss the next announcement.
 */
const validMs = 20_000;

/** Pause before a refused subscription is retried, in milliseconds. */
const retryMs = 10_000;

interface Announcement {
  /** Host and port of the new master, as the Sentinels report them. */
  readonly master: string;
  /** Its IP addresses. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** When it was announced, by performance.now(). */
  readonly at: number;
}

/**
 * Subscribes to the Sentinels, which announce a new master. They demote the old one only ten seconds later, and
 * publications that it acknowledges until then are lost. For the `failoverDetector` of ioredis, see docs/decisions.md.
 */
export class SentinelWatch {
  readonly #sentinels: readonly Redis[];
  readonly #listeners = new Set<() => void>();
  #announced: Announcement | null = null;
  #isClosed = false;

  /** Null if no Sentinels are configured. */
  static start(settings: RedisSettings, log: Log): SentinelWatch | null {
    const address = readRedisUrl(settings.redisUrl);
    return address.masterName === null ? null : new SentinelWatch(settings, address, log);
  }

  private constructor(
    private readonly settings: RedisSettings,
    private readonly address: RedisAddress,
    private readonly log: Log,
  ) {
    this.#sentinels = address.servers.map((server) => this.#connect(server));
  }

  /** Calls the listener after each announcement. */
  add(listener: () => void): void {
    this.#listeners.add(listener);
  }

  remove(listener: () => void): void {
    this.#listeners.delete(listener);
  }

  /**
   * The master that was announced in the last 20 s; null if there is none, or if it is the server at this IP address
   * and port.
   */
  replacementOf(ip: string, port: number): string | null {
    const announced = this.#announced;
    if (announced === null || performance.now() - announced.at > validMs) return null;
    return announced.port === port && announced.addresses.includes(ip) ? null : announced.master;
  }

  close(): void {
    this.#isClosed = true;
    for (const sentinel of this.#sentinels) sentinel.disconnect();
  }

  #connect(server: RedisAddress['servers'][number]): Redis {
    const where = `${server.host}:${server.port}`;
    const sentinel = new Redis({
      ...server,
      ...sentinelOptions(this.address, this.settings),
      connectionName: `fanfare:${this.settings.nodeName}:sentinels`,
      disableClientInfo: true,
      connectTimeout: connectTimeoutMs,
      keepAlive: keepAliveMs,
      enableReadyCheck: false,
      // Each connection subscribes by itself: ioredis would not retry a refused subscription.
      enableOfflineQueue: false,
      autoResubscribe: false,
      retryStrategy: (attempt) => {
        Object.assign(sentinel.options, sentinelOptions(this.address, this.settings));
        return retryDelayMs(attempt);
      },
    });
    let isRefused = false;
    const onError = (error: Error): void => {
      // Only answers of the Sentinel are logged here. If no Sentinel can be reached, the links log that when they need
      // one.
      if (error.name !== 'ReplyError' || isRefused) return;
      isRefused = true;
      this.log.error(
        { event: 'sentinelRefused', sentinel: where, reason: reasonOf(error) },
        `The Sentinel at ${where} does not permit this node to subscribe to +switch-master. Without it, the node notices a planned failover about 10 s late and loses publications that the old master acknowledges until then. Correct the user, its password or its permissions (docs/operations.md, Sentinels).`,
      );
    };
    let again: NodeJS.Timeout | undefined;
    const subscribe = (): void => {
      clearTimeout(again);
      if (this.#isClosed || sentinel.status !== 'ready') return;
      sentinel.subscribe('+switch-master').then(
        () => {
          isRefused = false;
        },
        (error: Error) => {
          onError(error);
          again = setTimeout(subscribe, retryMs);
          again.unref();
        },
      );
    };
    ignoreLaterErrors(sentinel);
    sentinel.on('ready', subscribe);
    sentinel.on('error', onError);
    sentinel.on('message', (_channel: string, message: string) => void this.#hear(message, where));
    return sentinel;
  }

  /**
   * `message`: the name, the old address and the new address of the master. Each Sentinel announces a new master when
   * it learns of it.
   */
  async #hear(message: string, sentinel: string): Promise<void> {
    const [name, oldHost, oldPort, host = '', port] = message.split(' ');
    if (name !== this.address.masterName) return;
    const [master, at] = [`${host}:${port}`, performance.now()];
    this.log.info(
      { event: 'masterAnnounced', sentinel },
      `The Sentinel at ${sentinel} announced a new master: ${master} replaces ${oldHost}:${oldPort}.`,
    );
    // Sentinels may announce host names. If a name has no address, no link can be connected to that server, and the
    // link logs the problem.
    const found = await lookup(host, { all: true }).catch(() => []);
    this.#announced = { master, addresses: found.map(({ address }) => address), port: Number(port), at };
    for (const listener of this.#listeners) listener();
  }
}
