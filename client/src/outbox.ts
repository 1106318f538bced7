/**
 * What waits to be sent. While a connection is up, commands of one turn of the event loop gather here and leave in one frame;
 * publications wait, up to a bound, for a node that has said how long a frame may be.
 */
import type { ClientCodec, OutgoingCommand } from '@fanfare/protocol';
import { DataError, FanfareError } from './errors.js';
import type { Limits } from './options.js';

type Encoded = string | Uint8Array;

/** Where frames go. */
export interface FrameSink {
  readonly bufferedAmount: number;
  send(frame: Encoded): void;
}

/** An encoded command. */
export interface Outgoing {
  readonly encoded: Encoded;
  readonly bytes: number;
  /** Publications outlive a connection; other commands belong to the one they were made for. */
  readonly isPublication: boolean;
  /** Told where it turns out, later, that it cannot be sent. */
  readonly onRefused: (error: FanfareError) => void;
  /** Whether it has left: after that nobody here knows what becomes of it. */
  isSent: boolean;
}

/** The least that a node can be set to take (`FANFARE_MAX_FRAME_BYTES`): what holds as long as none has said more. */
const safeFrameBytes = 1_024;

const utf8 = new TextEncoder();

export class Outbox {
  readonly #codec: ClientCodec;
  readonly #limits: Limits;
  readonly #waiting = new Set<Outgoing>();
  /** Of the publications among them. */
  #publications = 0;
  #publicationBytes = 0;
  #sink: FrameSink | null = null;
  /** Longest frame that the last node takes. Null where none has said. */
  #maxFrameBytes: number | null = null;
  /** Whether the node of this connection has said it. A longer frame ends the connection for good: until then, only commands leave. */
  #isWelcome = false;
  #isFlushPlanned = false;
  #onEmpty: Array<() => void> = [];

  constructor(codec: ClientCodec, limits: Limits) {
    this.#codec = codec;
    this.#limits = limits;
  }

  get isOpen(): boolean {
    return this.#sink !== null;
  }

  /** Commands may leave. */
  open(sink: FrameSink): void {
    this.#sink = sink;
  }

  /** The node has introduced itself: publications may leave. */
  welcome(maxFrameBytes: number): void {
    this.#maxFrameBytes = maxFrameBytes;
    this.#isWelcome = true;
    this.#flush();
  }

  /** The connection is gone: publications go on waiting for the next one. */
  close(): void {
    this.#sink = null;
    this.#isWelcome = false;
    for (const outgoing of this.#waiting) if (!outgoing.isPublication) this.remove(outgoing);
  }

  /** Throws, for publications, `invalidData`, `frameTooLarge` or `queueFull`. */
  post(command: OutgoingCommand, onRefused: (error: FanfareError) => void): Outgoing {
    const isPublication = command.type === 'publish';
    const encoded = this.#encode(command);
    const bytes = typeof encoded === 'string' ? utf8.encode(encoded).length : encoded.length;
    const error = isPublication ? (this.#tooLarge(bytes) ?? this.#full(bytes)) : null;
    if (error !== null) throw error;
    const outgoing: Outgoing = { encoded, bytes, isPublication, onRefused, isSent: false };
    this.#waiting.add(outgoing);
    this.#count(outgoing, 1);
    // A full frame need not wait for the turn to end: a long burst holds no more than one frame here.
    if (this.#isWelcome && this.#publicationBytes >= (this.#maxFrameBytes ?? 0)) this.#flush();
    else this.#planFlush();
    return outgoing;
  }

  /** Takes back what has not been sent. */
  remove(outgoing: Outgoing): void {
    if (this.#waiting.delete(outgoing)) this.#count(outgoing, -1);
    this.#tellIfEmpty();
  }

  /** Drops all that waits, and forgets the node. */
  clear(): void {
    this.#maxFrameBytes = null;
    for (const outgoing of this.#waiting) this.remove(outgoing);
  }

  /** Resolves once nothing waits any more. */
  empty(): Promise<void> {
    return new Promise((resolve) => {
      this.#onEmpty.push(resolve);
      this.#tellIfEmpty();
    });
  }

  #encode(command: OutgoingCommand): Encoded {
    try {
      return this.#codec.encode(command);
    } catch (cause) {
      // A loop in the data, or a bigint in JSON: of all fields of commands, only data can be wrong.
      const { topic } = command as { topic: string };
      const message = `The data for ${topic} cannot be encoded: ${(cause as Error).message}`;
      throw new DataError('invalidData', topic, [], { message, cause });
    }
  }

  #tooLarge(bytes: number): FanfareError | null {
    if (this.#maxFrameBytes === null || bytes <= this.#maxFrameBytes) return null;
    const message = `The publication has ${bytes} bytes; a frame may have ${this.#maxFrameBytes}.`;
    return new FanfareError('frameTooLarge', { message });
  }

  #full(bytes: number): FanfareError | null {
    const { maxUnsentBytes, maxQueuedPublications, maxQueuedBytes } = this.#limits;
    const total = this.#publicationBytes + bytes;
    const isFull =
      this.#isWelcome && this.#sink !== null
        ? this.#sink.bufferedAmount + total > maxUnsentBytes
        : this.#publications >= maxQueuedPublications || total > maxQueuedBytes;
    return isFull ? new FanfareError('queueFull') : null;
  }

  #count({ isPublication, bytes }: Outgoing, sign: 1 | -1): void {
    if (!isPublication) return;
    this.#publications += sign;
    this.#publicationBytes += sign * bytes;
  }

  #planFlush(): void {
    if (this.#isFlushPlanned || this.#sink === null) return;
    this.#isFlushPlanned = true;
    queueMicrotask(() => {
      this.#isFlushPlanned = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#sink === null) return;
    let commands: Encoded[] = [];
    // JSON puts one character between commands and two around them.
    let frameBytes = 1;
    const refused: Array<() => void> = [];
    for (const outgoing of this.#waiting) {
      if (outgoing.isPublication && !this.#isWelcome) continue;
      this.#waiting.delete(outgoing);
      this.#count(outgoing, -1);
      const error = this.#tooLarge(outgoing.bytes);
      if (error !== null) {
        refused.push(() => outgoing.onRefused(error));
        continue;
      }
      if (commands.length > 0 && frameBytes + outgoing.bytes + 1 > (this.#maxFrameBytes ?? safeFrameBytes)) {
        this.#sink.send(this.#codec.join(commands));
        commands = [];
        frameBytes = 1;
      }
      commands.push(outgoing.encoded);
      frameBytes += outgoing.bytes + 1;
      outgoing.isSent = true;
    }
    if (commands.length > 0) this.#sink.send(this.#codec.join(commands));
    this.#tellIfEmpty();
    // Last: whoever is told may do anything.
    for (const tell of refused) tell();
  }

  #tellIfEmpty(): void {
    if (this.#waiting.size > 0) return;
    for (const resolve of this.#onEmpty.splice(0)) resolve();
  }
}
