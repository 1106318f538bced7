/** Commands of one turn of the event loop gather here, and leave on their connection in one frame, or as few as the node takes. */
import type { ClientCodec } from '@fanfare/protocol';

export type Encoded = string | Uint8Array;

/** An encoded command. */
export interface Outgoing {
  readonly encoded: Encoded;
  readonly bytes: number;
  /** True if it was sent. After that its outcome is unknown until the answer. */
  isSent: boolean;
}

/** The least that a node can be set to take (`FANFARE_MAX_FRAME_BYTES`): what holds until it has said more. Another node may take less than the last one. */
export const safeFrameBytes = 1_024;

/** Most bytes of frames that a node takes before it has accepted a token (PROTOCOL.md section 3). */
export const maxEarlyBytes = 16_384;

const utf8 = new TextEncoder();

export function outgoing(encoded: Encoded): Outgoing {
  const bytes = typeof encoded === 'string' ? utf8.encode(encoded).length : encoded.length;
  return { encoded, bytes, isSent: false };
}

export class Frames {
  /** Longest frame that the node takes, as far as is known. */
  maxFrameBytes = safeFrameBytes;
  readonly #join: ClientCodec['join'];
  readonly #send: (frame: Encoded) => void;
  readonly #waiting = new Set<Outgoing>();
  #bytes = 0;
  /** Sent before the node has introduced itself; null behind that. */
  #earlyBytes: number | null = 0;
  #isFlushPlanned = false;

  constructor(codec: ClientCodec, send: (frame: Encoded) => void) {
    this.#join = (commands) => codec.join(commands);
    this.#send = send;
  }

  /** Of the commands that wait for the turn to end. */
  get bytes(): number {
    return this.#bytes;
  }

  post(command: Outgoing): void {
    this.#waiting.add(command);
    this.#bytes += command.bytes;
    // A full frame need not wait for the turn to end: a long burst holds no more than one frame here.
    if (this.#bytes >= this.maxFrameBytes) this.#flush();
    else this.#planFlush();
  }

  /** Takes back what has not left. */
  remove(command: Outgoing): void {
    if (this.#waiting.delete(command)) this.#bytes -= command.bytes;
  }

  clear(): void {
    this.#waiting.clear();
    this.#bytes = 0;
  }

  /** The node has introduced itself: what was too much before that leaves now. */
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
        this.#send(this.#join(commands));
        commands = [];
        frameBytes = 1;
      }
      commands.push(command.encoded);
      frameBytes += command.bytes + 1;
      command.isSent = true;
      this.remove(command);
    }
    if (commands.length > 0) this.#send(this.#join(commands));
  }

  /** Whether that much more is too much for now; else it is counted. The first command, a token with it, leaves in any case. */
  #isTooEarly(bytes: number): boolean {
    if (this.#earlyBytes === null) return false;
    if (this.#earlyBytes > 0 && this.#earlyBytes + bytes > maxEarlyBytes) return true;
    this.#earlyBytes += bytes;
    return false;
  }
}
