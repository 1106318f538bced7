/**
 * What waits to be sent. While a connection is up, commands of one turn of the event loop gather here and leave in one frame;
 * while there is none, publications queue up to a bound.
 */
import type { ClientCodec } from '@fanfare/protocol';
import { FanfareError } from './errors.js';
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
  /** Whether it has left: after that nobody here knows what becomes of it. */
  isSent: boolean;
}

export class Outbox {
  /** Longest frame that the node takes; what PROTOCOL.md section 7 has as default until a node says otherwise. */
  maxFrameBytes = 65_536;

  readonly #codec: ClientCodec;
  readonly #limits: Limits;
  #waiting = new Set<Outgoing>();
  #waitingBytes = 0;
  #sink: FrameSink | null = null;
  #isFlushPlanned = false;
  #onEmpty: Array<() => void> = [];

  constructor(codec: ClientCodec, limits: Limits) {
    this.#codec = codec;
    this.#limits = limits;
  }

  get isOpen(): boolean {
    return this.#sink !== null;
  }

  /** Frames may leave: first what `writeFirst` posts, then what has waited. */
  open(sink: FrameSink, writeFirst: () => void): void {
    const queued = this.#waiting;
    this.#waiting = new Set();
    this.#sink = sink;
    writeFirst();
    for (const outgoing of queued) this.#waiting.add(outgoing);
    this.#flush();
  }

  /** The connection is gone: publications go on waiting for the next one. */
  close(): void {
    this.#sink = null;
    for (const outgoing of this.#waiting) if (!outgoing.isPublication) this.remove(outgoing);
  }

  /** Throws `frameTooLarge` or, for publications, `queueFull`. */
  post(encoded: Encoded, isPublication: boolean): Outgoing {
    const bytes = typeof encoded === 'string' ? utf8Length(encoded) : encoded.length;
    if (bytes > this.maxFrameBytes) {
      throw new FanfareError('frameTooLarge', {
        message: `The command has ${bytes} bytes; a frame may have ${this.maxFrameBytes}.`,
      });
    }
    if (isPublication && this.#isFull(bytes)) throw new FanfareError('queueFull');
    const outgoing: Outgoing = { encoded, bytes, isPublication, isSent: false };
    this.#waiting.add(outgoing);
    this.#waitingBytes += bytes;
    if (this.#sink !== null) {
      // A full frame need not wait for the turn to end: a long burst holds no more than one frame here.
      if (this.#waitingBytes >= this.maxFrameBytes) this.#flush();
      else this.#planFlush();
    }
    return outgoing;
  }

  /** Takes back what has not been sent. */
  remove(outgoing: Outgoing): void {
    if (this.#waiting.delete(outgoing)) this.#waitingBytes -= outgoing.bytes;
    this.#tellIfEmpty();
  }

  clear(): void {
    this.#waiting.clear();
    this.#waitingBytes = 0;
    this.#tellIfEmpty();
  }

  /** Resolves once nothing waits any more. */
  empty(): Promise<void> {
    return new Promise((resolve) => {
      this.#onEmpty.push(resolve);
      this.#tellIfEmpty();
    });
  }

  #isFull(bytes: number): boolean {
    const { maxUnsentBytes, maxQueuedPublications, maxQueuedBytes } = this.#limits;
    if (this.#sink !== null) return this.#sink.bufferedAmount + this.#waitingBytes + bytes > maxUnsentBytes;
    return this.#waiting.size >= maxQueuedPublications || this.#waitingBytes + bytes > maxQueuedBytes;
  }

  #planFlush(): void {
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    queueMicrotask(() => {
      this.#isFlushPlanned = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#sink === null) return;
    let commands: Encoded[] = [];
    let frameBytes = 0;
    for (const outgoing of this.#waiting) {
      // JSON puts one character between commands and two around them.
      if (commands.length > 0 && frameBytes + outgoing.bytes + commands.length + 2 > this.maxFrameBytes) {
        this.#sink.send(this.#codec.join(commands));
        commands = [];
        frameBytes = 0;
      }
      commands.push(outgoing.encoded);
      frameBytes += outgoing.bytes;
      outgoing.isSent = true;
    }
    if (commands.length > 0) this.#sink.send(this.#codec.join(commands));
    this.clear();
  }

  #tellIfEmpty(): void {
    if (this.#waiting.size > 0) return;
    for (const resolve of this.#onEmpty.splice(0)) resolve();
  }
}

function utf8Length(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    // Half of a surrogate pair is half of 4 bytes (JSON escapes lone ones).
    bytes += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2;
  }
  return bytes;
}
