/** The connection that listens. */
import type { Log } from '../observe/log.js';
import { Link, type LinkEvents, type RedisCounters } from './redis-link.js';
import type { RedisSettings } from './redis-options.js';

/** Most channels in one SUBSCRIBE or UNSUBSCRIBE, so that Redis is not held up by one command. */
export const maxChannelsPerCommand = 512;

/** Listens to channels of Redis. */
export class SubscriberLink extends Link {
  /** As Redis calls this connection; null where it has not said. */
  clientId: number | null = null;

  constructor(
    settings: RedisSettings,
    log: Log,
    counters: RedisCounters,
    events: LinkEvents & { onMessage(channel: Buffer, message: Buffer): void },
  ) {
    super('subscriber', settings, log, counters, {
      onReady: () => {
        this.#askClientId();
        events.onReady?.();
      },
      onLost: (wasSilent) => {
        this.clientId = null;
        events.onLost?.(wasSilent);
      },
    });
    // Only this event: with a listener for 'message', ioredis would decode every message to a string too.
    this.redis.on('messageBuffer', (channel: Buffer, message: Buffer) => {
      // A connection that was given up may go on delivering for a moment: what it loses behind that nobody would tell.
      if (this.isReady) events.onMessage(channel, message);
    });
  }

  /** As long as nothing is subscribed to: a connection that listens may not ask. */
  #askClientId(): void {
    this.track(this.redis.client('ID')).then(
      (id) => {
        this.clientId = id;
      },
      () => {
        // It may not be asked: what it holds for us is not known then.
      },
    );
  }

  /** At most {@link maxChannelsPerCommand} channels. Resolves when Redis has confirmed all; rejects where it refuses, or the connection breaks. */
  subscribe(channels: readonly string[]): Promise<void> {
    this.counters.redisSubscribeCommands++;
    return this.#carryOut(this.redis.subscribe(...channels));
  }

  /** As {@link subscribe}. Commands are carried out in the order of the calls. */
  unsubscribe(channels: readonly string[]): Promise<void> {
    this.counters.redisUnsubscribeCommands++;
    return this.#carryOut(this.redis.unsubscribe(...channels));
  }

  async #carryOut(command: Promise<unknown>): Promise<void> {
    try {
      await this.track(command);
    } catch (error) {
      if (this.isReady) this.complain(error as Error);
      throw error;
    }
  }
}
