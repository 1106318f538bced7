/** Commands of one turn of the event loop gather here, and leave on their connection in one frame, or as few as the node takes. */
import type { ClientCodec } from '@fanfare/protocol';

export type Encoded = string | Uint8Array;

/** An encoded command. */
export interface Outgoing {
  readonly encoded: Encoded;
  readonly bytes: number;
  /** Whether it has left: after that nobody here knows what becomes of it. */
  isSent: boolean;
}

/** The least that a node can be set to take (`FANFARE_MAX_FRAME_BYTES`): what holds as long as none has said more. */
export const safeFrameBytes = 1_024;

const utf8 = new TextEncoder();

export function outgoing(encoded: Encoded): Outgoing {
  const bytes = typeof encoded === 'string' ? utf8.encode(encoded).length : encoded.length;
  return { encoded, bytes, isSent: false };
}

export class Frames {
  /** Longest frame that the node takes, as far as is known. */
  maxFrameBytes: number;
  readonly #join: ClientCodec['join'];
  readonly #send: (frame: Encoded) => void;
  readonly #waiting = new Set<Outgoing>();
  #bytes = 0;
  #isFlushPlanned = false;

  constructor(codec: ClientCodec, maxFrameBytes: number, send: (frame: Encoded) => void) {
    this.maxFrameBytes = maxFrameBytes;
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
      if (commands.length > 0 && frameBytes + command.bytes + 1 > this.maxFrameBytes) {
        this.#send(this.#join(commands));
        commands = [];
        frameBytes = 1;
      }
      commands.push(command.encoded);
      frameBytes += command.bytes + 1;
      command.isSent = true;
    }
    this.clear();
    if (commands.length > 0) this.#send(this.#join(commands));
  }
}
