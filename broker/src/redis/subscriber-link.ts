/** The connection that receives messages. */
import type { Log } from '../observe/log.js';
import { lostError, PendingCall } from './command-stream.js';
import { Link, type LinkEvents, type RedisCounters } from './redis-link.js';
import type { RedisSettings } from './redis-options.js';
import type { Reply } from './reply-reader.js';

/** Maximum number of channels in one SSUBSCRIBE or SUNSUBSCRIBE, so that one command does not block Redis. */
export const maxChannelsPerCommand = 512;

/** Subscribes to channels of Redis. */
export class SubscriberLink extends Link {
  /** The id of this connection in Redis; null if it is unknown. */
  clientId: number | null = null;

  constructor(
    settings: RedisSettings,
    log: Log,
    counters: RedisCounters,
    events: LinkEvents & Required<Pick<LinkEvents, 'onMessage'>>,
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
      onMessage: events.onMessage,
    });
  }

  /** Before the first SSUBSCRIBE: a subscribed connection may not send other commands. */
  #askClientId(): void {
    this.ask('CLIENT', 'ID').then(
      (id) => {
        this.clientId = Number(id);
      },
      () => {
        // No permission: then the size of its output buffer is unknown.
      },
    );
  }

  /**
   * Takes at most {@link maxChannelsPerCommand} channels. Resolves when Redis has confirmed all. Rejects if Redis
   * refuses, or if the connection is lost.
   */
  subscribe(channels: readonly string[]): Promise<void> {
    this.counters.redisSubscribeCommands++;
    return this.#carryOut('SSUBSCRIBE', channels);
  }

  /** Like {@link subscribe}. Redis executes the commands in the order of the calls. */
  unsubscribe(channels: readonly string[]): Promise<void> {
    this.counters.redisUnsubscribeCommands++;
    return this.#carryOut('SUNSUBSCRIBE', channels);
  }

  async #carryOut(command: 'SSUBSCRIBE' | 'SUNSUBSCRIBE', channels: readonly string[]): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => {
        const { commands } = this;
        if (commands === null) return reject(lostError());
        commands.writer.command(1 + channels.length);
        commands.writer.asciiPart(command);
        for (const channel of channels) commands.writer.part(channel);
        commands.expect(new ChannelCall(channels.length, resolve, reject));
      });
    } catch (error) {
      if (this.isReady) this.report(error as Error);
      throw error;
    }
  }
}

/** Redis confirms each channel with a reply of its own, but refuses a command with one error. */
class ChannelCall extends PendingCall {
  #error: Error | null = null;

  constructor(
    private left: number,
    private readonly resolve: () => void,
    private readonly reject: (error: Error) => void,
  ) {
    super();
  }

  override onReply(reply: Reply): boolean {
    if (reply instanceof Error) this.#error = reply;
    this.left--;
    return this.left === 0 || this.#error !== null;
  }

  override onComplete(): void {
    if (this.#error === null) this.resolve();
    else this.reject(this.#error);
  }

  override onLost(): void {
    this.reject(lostError());
  }
}
