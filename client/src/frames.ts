/** Collects the commands of one turn of the event loop and sends them in as few frames as the node accepts. */
import type { ClientCodec } from '@fanfare/protocol';

export type Encoded = string | Uint8Array;

/** An encoded command. */
export interface Outgoing {
  readonly encoded: Encoded;
  readonly bytes: number;
  /** True if it was sent. After that its outcome is unknown until the answer. */
  isSent: boolean;
}

/** The minimum of `FANFARE_MAX_FRAME_BYTES`. It applies until the node has sent its limit, because nodes may differ. */
export const safeFrameBytes = 1_024;

/** Maximum bytes of frames that a node accepts before it has accepted a token (PROTOCOL.md section 3). */
export const maxEarlyBytes = 16_384;

const utf8 = new TextEncoder();

export function outgoing(encoded: Encoded): Outgoing {
  const bytes = typeof encoded === 'string' ? utf8.encode(encoded).length : encoded.length;
  return { encoded, bytes, isSent: false };
}

export class Frames {
  /** Longest frame that the node accepts, as far as known. */
  maxFrameBytes = safeFrameBytes;
  readonly #codec: ClientCodec;
  readonly #send: (frame: Encoded) => void;
  readonly #waiting = new Set<Outgoing>();
  #bytes = 0;
  /** Bytes sent before `connected` arrived; null after that. */
  #earlyBytes: number | null = 0;
  #isFlushPlanned = false;

  constructor(codec: ClientCodec, send: (frame: Encoded) => void) {
    this.#codec = codec;
    this.#send = send;
  }

  /** Bytes of the commands that wait for the end of the turn. */
  get bytes(): number {
    return this.#bytes;
  }

  post(command: Outgoing): void {
    this.#waiting.add(command);
    this.#bytes += command.bytes;
    // Send a full frame at once, so that a long burst never holds more than one frame here.
    if (this.#bytes >= this.maxFrameBytes) this.#flush();
    else this.#planFlush();
  }

  /** Removes a command that was not sent yet. */
  remove(command: Outgoing): void {
    if (this.#waiting.delete(command)) this.#bytes -= command.bytes;
  }

  clear(): void {
    this.#waiting.clear();
    this.#bytes = 0;
  }

  /** `connected` arrived: sends the commands that exceeded the early limit. */
  open(maxFrameBytes: number): void {
    this.maxFrameBytes = maxFrameBytes;
    this.#earlyBytes = null;
    this.#flush();
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
    let commands: Encoded[] = [];
    // JSON puts one character between commands and two around them.
    let frameBytes = 1;
    for (const command of this.#waiting) {
      if (this.#isTooEarly(command.bytes + 2)) break;
      if (commands.length > 0 && frameBytes + command.bytes + 1 > this.maxFrameBytes) {
        this.#send(this.#codec.join(commands));
        commands = [];
        frameBytes = 1;
      }
      commands.push(command.encoded);
      frameBytes += command.bytes + 1;
      command.isSent = true;
      this.remove(command);
    }
    if (commands.length > 0) this.#send(this.#codec.join(commands));
  }

  /**
   * True if these bytes exceed the early limit. Otherwise counts them. The first command, which has the token, is
   * always sent.
   */
  #isTooEarly(bytes: number): boolean {
    if (this.#earlyBytes === null) return false;
    if (this.#earlyBytes > 0 && this.#earlyBytes + bytes > maxEarlyBytes) return true;
    this.#earlyBytes += bytes;
    return false;
  }
}
