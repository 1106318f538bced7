/**
 * A connection to Redis after its handshake: sends commands, and hands each reply to the call that waits for it.
 * ioredis makes the connection. After that, only this class reads and writes it. A call costs no object for each
 * command, and the commands of a turn leave as one buffer.
 */
import type { Socket } from 'node:net';
import { CommandWriter } from './command-writer.js';
import { startReading, stopReading } from './direct-connector.js';
import { PendingCall } from './pending-call.js';
import { ReplicaWait } from './replica-wait.js';
import { type ChannelMessage, RedisError, RedisProtocolError, type Reply, ReplyReader } from './reply-reader.js';

export interface StreamEvents {
  onMessage?(message: ChannelMessage): void;
  /** A reply arrived while no call waits for one. Returns whether it is expected. */
  onPush?(reply: Reply): boolean;
  /** The commands of a turn were written. */
  onWrite?(): void;
  /** The server does not speak the protocol of Redis. */
  onProtocolError(error: Error): void;
}

/**
 * The largest buffer that is kept for later commands, in bytes: an exceptionally large command must not hold memory for
 * good.
 */
const maxKeptBytes = 1_048_576;

/**
 * What waits for this runs after the current callback. `process.nextTick` would do the same, but Node.js then allocates
 * several times as much (findings/node-nexttick-allocations.sh).
 */
const turnEnd = Promise.resolve();

export class CommandStream {
  readonly replicaWait = new ReplicaWait(this);
  #writer = new CommandWriter();
  /** The writer whose bytes were written before, and may still wait in the socket. */
  #written: CommandWriter | null = null;
  readonly #reader: ReplyReader;
  /** A list in the order of the commands: Redis replies in order. Null if no call waits. */
  #oldest: PendingCall | null = null;
  #newest: PendingCall | null = null;
  #isPlanned = false;
  #isClosed = false;

  /** `socket`: a socket without pending replies. From now on, only this object reads it. */
  constructor(
    private readonly socket: Socket,
    private readonly events: StreamEvents,
  ) {
    const { onMessage } = events;
    this.#reader = new ReplyReader({
      onReply: (reply) => this.#onReply(reply),
      ...(onMessage === undefined ? {} : { onMessage }),
    });
    startReading(socket, (bytes, length) => this.#read(bytes, length));
  }

  /** Write complete commands, then call {@link expect} in the same turn. Do not keep the writer. */
  get writer(): CommandWriter {
    return this.#writer;
  }

  /** When the oldest call without a reply was sent; null if there is none. */
  get waitingSince(): number | null {
    return this.#oldest?.sentAt ?? null;
  }

  /** `call` gets the replies to what was written since the last call. Everything leaves at the end of the turn. */
  expect(call: PendingCall): void {
    if (this.#isClosed) return process.nextTick(() => call.onLost());
    if (this.#newest === null) this.#oldest = call;
    else this.#newest.later = call;
    this.#newest = call;
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    void turnEnd.then(this.#flush);
  }

  /** The connection is lost, or has been abandoned: reads nothing more. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#reader.end();
    stopReading(this.socket);
    let call = this.#oldest;
    this.#oldest = null;
    this.#newest = null;
    for (; call !== null; call = call.later) call.onLost();
  }

  readonly #flush = (): void => {
    this.#isPlanned = false;
    if (this.#isClosed || this.#writer.length === 0) return;
    // Redis reads too slowly. Later commands are collected in one buffer: one for each turn would take far more memory
    // than the commands.
    if (this.socket.writableNeedDrain) {
      this.#isPlanned = true;
      this.socket.once('drain', this.#flush);
      return;
    }
    const writer = this.#writer;
    // If nothing waits in the socket, the kernel has the bytes, and a buffer can be reused. With TLS, the bytes always
    // wait until the next turn, so two writers take turns.
    const other = this.socket.writableLength === 0 ? this.#written : null;
    this.socket.write(writer.bytes());
    this.events.onWrite?.();
    if (this.socket.writableLength === 0) this.#writer = emptied(writer);
    else {
      this.#writer = emptied(other);
      this.#written = writer.capacity > maxKeptBytes ? null : writer;
    }
  };

  #read(bytes: Buffer, length: number): void {
    try {
      this.#reader.read(bytes, length);
    } catch (error) {
      if (!(error instanceof RedisProtocolError)) throw error;
      this.events.onProtocolError(error);
    }
  }

  #onReply(reply: Reply): void {
    const call = this.#oldest;
    if (call === null) {
      if (this.events.onPush?.(reply) === true) return;
      throw new RedisProtocolError('Protocol error: Redis sent a reply that no call waits for.');
    }
    // The reply may close the connection: then the call has its outcome.
    if (!call.onReply(reply) || this.#oldest !== call) return;
    this.#oldest = call.later;
    if (call.later === null) this.#newest = null;
    // Otherwise an old call that was not collected yet would keep all later ones in memory.
    call.later = null;
    call.onComplete();
  }
}

/** Empties the writer to use it again. Returns a new one instead of null, and instead of one that is too large to keep. */
function emptied(writer: CommandWriter | null): CommandWriter {
  if (writer === null || writer.capacity > maxKeptBytes) return new CommandWriter();
  writer.clear();
  return writer;
}

/** Collects the replies to `count` commands. Rejects if the connection is lost. */
export class CollectedCall extends PendingCall {
  readonly #replies: Reply[] = [];

  constructor(
    private readonly count: number,
    private readonly resolve: (replies: readonly Reply[]) => void,
    private readonly reject: (error: Error) => void,
  ) {
    super();
  }

  override onReply(reply: Reply): boolean {
    this.#replies.push(reply);
    return this.#replies.length === this.count;
  }

  override onComplete(): void {
    this.resolve(this.#replies);
  }

  override onLost(): void {
    this.reject(lostError());
  }
}

const lostMessage = 'The connection to Redis was lost.';

export function lostError(): RedisError {
  return new RedisError(lostMessage);
}

/** Whether there is no reply because the connection was lost. */
export function isLost({ message }: Error): boolean {
  return message === lostMessage;
}
