/** WebSocket frames (RFC 6455 section 5): finds those of a server, and builds those of a client, also wrong ones. */

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Takes one frame. Its payload is in `bytes[start, end)`, and only until this returns. */
type FrameSink = (opcode: number, bytes: Uint8Array, start: number, end: number) => void;

/**
 * Finds the frames that a server sends, in place: it copies a frame only if a read has split it. Frames of a server are
 * unmasked. It expects no fragments, and compression only if `mayCompress`.
 */
export class FrameWalker {
  /** The beginning of a frame whose end has not come yet. */
  #rest: Uint8Array | null = null;
  readonly #fixedBits: number;

  constructor(mayCompress = false) {
    this.#fixedBits = mayCompress ? 0xb0 : 0xf0;
  }

  walk(chunk: Uint8Array, sink: FrameSink): void {
    let bytes = chunk;
    if (this.#rest !== null) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
      this.#rest = null;
    }
    const end = bytes.length;
    let at = 0;
    while (end - at >= 2) {
      const head = bytes[at] as number;
      if ((head & this.#fixedBits) !== 0x80)
        throw new Error(`A frame begins with byte 0x${head.toString(16)}: it is incomplete.`);
      let length = bytes[at + 1] as number;
      let start = at + 2;
      if (length > 127) throw new Error('A server must not mask its frames.');
      if (length === 126) {
        start = at + 4;
        if (start > end) break;
        length = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
      } else if (length === 127) {
        start = at + 10;
        if (start > end) break;
        length = Number(new DataView(bytes.buffer, bytes.byteOffset + at + 2, 8).getBigUint64(0));
      }
      if (start + length > end) break;
      sink(head & 0x0f, bytes, start, start + length);
      at = start + length;
    }
    if (at < end) this.#rest = bytes.slice(at);
  }
}

export interface FrameOptions {
  /** Default: text. */
  readonly opcode?: number;
  /** Default: true. */
  readonly isLast?: boolean;
  /** RSV1: permessage-deflate marks its messages with it. */
  readonly isCompressed?: boolean;
  /** The bits that nobody may set. */
  readonly reserved?: number;
}

/** A masked frame, as a client must send it. The mask is zero, so that we can write data into the frame. */
export function buildFrame(payload: string | Uint8Array, options: FrameOptions = {}): Uint8Array {
  const { opcode = opcodes.text, isLast = true, isCompressed = false, reserved = 0 } = options;
  const bytes = typeof payload === 'string' ? utf8.encode(payload) : payload;
  const { length } = bytes;
  const extended = length < 126 ? 0 : length < 0x10000 ? 2 : 8;
  const frame = new Uint8Array(2 + extended + 4 + length);
  const view = new DataView(frame.buffer);
  frame[0] = (isLast ? 0x80 : 0) | (isCompressed ? 0x40 : 0) | (reserved << 4) | opcode;
  frame[1] = 0x80 | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) view.setUint16(2, length);
  else if (extended === 8) view.setBigUint64(2, BigInt(length));
  frame.set(bytes, frame.length - length);
  return frame;
}

const utf8 = new TextEncoder();

/** The lines of an opening handshake. */
export function handshakeLines(path: string, host: string): readonly string[] {
  return [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ];
}
