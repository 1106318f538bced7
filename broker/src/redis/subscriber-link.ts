/** The connection that receives messages. */
import type { Log } from '../observe/log.js';
import { Link, type LinkEvents, type RedisCounters } from './redis-link.js';
import type { RedisSettings } from './redis-options.js';

/** Most channels in one SUBSCRIBE or UNSUBSCRIBE, so that one command does not block Redis. */
export const maxChannelsPerCommand = 512;

/** Subscribes to channels of Redis. */
export class SubscriberLink extends Link {
  /** The id of this connection in Redis; null if it is unknown. */
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
      // An abandoned connection may still deliver for a moment. Losses after that would not be noticed, so its messages are ignored.
      if (this.isReady) events.onMessage(channel, message);
    });
  }

  /** Before the first SUBSCRIBE: a subscribed connection may not send other commands. */
  #askClientId(): void {
    this.track(this.redis.client('ID')).then(
      (id) => {
        this.clientId = id;
      },
      () => {
        // No permission: then the size of its output buffer is unknown.
      },
    );
  }

  /** At most {@link maxChannelsPerCommand} channels. Resolves when Redis has confirmed all. Rejects if it refuses, or if the connection is lost. */
  subscribe(channels: readonly string[]): Promise<void> {
    this.counters.redisSubscribeCommands++;
    return this.#carryOut(this.redis.subscribe(...channels));
  }

  /** As {@link subscribe}. Redis executes the commands in the order of the calls. */
  unsubscribe(channels: readonly string[]): Promise<void> {
    this.counters.redisUnsubscribeCommands++;
    return this.#carryOut(this.redis.unsubscribe(...channels));
  }

  async #carryOut(command: Promise<unknown>): Promise<void> {
    try {
      await this.track(command);
    } catch (error) {
      if (this.isReady) this.report(error as Error);
      throw error;
    }
  }
}
