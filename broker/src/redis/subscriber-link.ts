/** The connection that receives messages. */
import type { Log } from '../observe/log.js';
import { lostError } from './command-stream.js';
import { PendingCall } from './pending-call.js';
import { isMoved } from './redis-fault.js';
import { Link, type LinkEvents, type RedisCounters } from './redis-link.js';
import type { RedisSettings } from './redis-options.js';
import type { ChannelMessage, Reply } from './reply-reader.js';

/** Maximum number of channels in one SSUBSCRIBE or SUNSUBSCRIBE, so that one command does not block Redis. */
export const maxChannelsPerCommand = 512;

interface SubscriberEvents extends LinkEvents {
  onMessage(message: ChannelMessage): void;
  /** Redis ended the subscription of a channel by itself: the server no longer has its slot (Redis Cluster). */
  onUnsubscribed?(channel: Buffer): void;
}

/** Subscribes to channels of Redis. */
export class SubscriberLink extends Link {
  readonly #onUnsubscribed: (channel: Buffer) => void;
  /** The id of this connection in Redis; null if it is unknown. */
  clientId: number | null = null;

  constructor(settings: RedisSettings, log: Log, counters: RedisCounters, events: SubscriberEvents) {
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
      onPush: (reply) => {
        const channel = unsubscribedIn(reply);
        if (channel !== null) this.#onUnsubscribed(channel);
        return channel !== null;
      },
    });
    this.#onUnsubscribed = (channel) => events.onUnsubscribed?.(channel);
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
   * Takes at most {@link maxChannelsPerCommand} channels, in a Redis Cluster of one slot. Resolves when Redis has
   * confirmed all. Rejects if Redis refuses, or if the connection is lost.
   */
  subscribe(channels: readonly string[]): Promise<void> {
    this.counters.redisSubscribeCommands++;
    return this.#carryOut('SSUBSCRIBE', channels, (resolve, reject) => {
      return new SubscribeCall(channels.length, this.#onUnsubscribed, resolve, reject);
    });
  }

  /** Like {@link subscribe}. Redis executes the commands in the order of the calls. */
  unsubscribe(channels: readonly string[]): Promise<void> {
    this.counters.redisUnsubscribeCommands++;
    // Nobody subscribes to this channel, so only the reply to this command can name it.
    const end = `${channels[0]} `;
    return this.#carryOut('SUNSUBSCRIBE', [...channels, end], (resolve, reject) => {
      return new UnsubscribeCall(channels, end, this.#onUnsubscribed, resolve, reject);
    });
  }

  async #carryOut(
    command: 'SSUBSCRIBE' | 'SUNSUBSCRIBE',
    channels: readonly string[],
    callOf: (resolve: () => void, reject: (error: Error) => void) => PendingCall,
  ): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => {
        const { commands } = this;
        if (commands === null) return reject(lostError());
        commands.writer.command(1 + channels.length);
        commands.writer.asciiPart(command);
        for (const channel of channels) commands.writer.part(channel);
        commands.expect(callOf(resolve, reject));
      });
    } catch (error) {
      if (this.isReady && !isMoved(error as Error)) this.report(error as Error);
      throw error;
    }
  }
}

/** Redis confirms each channel with a reply of its own, but refuses a command with one error. */
class SubscribeCall extends PendingCall {
  #error: Error | null = null;

  constructor(
    private left: number,
    private readonly onUnsubscribed: (channel: Buffer) => void,
    private readonly resolve: () => void,
    private readonly reject: (error: Error) => void,
  ) {
    super();
  }

  override onReply(reply: Reply): boolean {
    const unsubscribed = unsubscribedIn(reply);
    if (unsubscribed !== null) {
      this.onUnsubscribed(unsubscribed);
      return false;
    }
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

/**
 * A Redis Cluster sends the same reply by itself if the slot of a channel moves, and may send it just before it refuses
 * this command (valkey-io/valkey#1066). Only the end of the replies shows which ones are confirmations.
 */
class UnsubscribeCall extends PendingCall {
  readonly #unsubscribed: Buffer[] = [];
  #error: Error | null = null;

  /** `end`: the last channel of the command, which was never subscribed. */
  constructor(
    private readonly channels: readonly string[],
    private readonly end: string,
    private readonly onUnsubscribed: (channel: Buffer) => void,
    private readonly resolve: () => void,
    private readonly reject: (error: Error) => void,
  ) {
    super();
  }

  override onReply(reply: Reply): boolean {
    if (reply instanceof Error) this.#error = reply;
    else {
      const channel = unsubscribedIn(reply);
      if (channel?.toString() === this.end) return true;
      if (channel !== null) this.#unsubscribed.push(channel);
    }
    return this.#error !== null;
  }

  override onComplete(): void {
    const confirmed = new Set(this.#error === null ? this.channels : []);
    for (const channel of this.#unsubscribed) if (!confirmed.delete(channel.toString())) this.onUnsubscribed(channel);
    if (this.#error === null) this.resolve();
    else this.reject(this.#error);
  }

  override onLost(): void {
    this.reject(lostError());
  }
}

/** The channel that a reply reports as unsubscribed; null for any other reply. */
function unsubscribedIn(reply: Reply): Buffer | null {
  if (!Array.isArray(reply) || reply.length !== 3) return null;
  const [kind, channel] = reply as readonly Reply[];
  return Buffer.isBuffer(kind) && Buffer.isBuffer(channel) && kind.equals(unsubscription) ? channel : null;
}

const unsubscription = Buffer.from('sunsubscribe');
