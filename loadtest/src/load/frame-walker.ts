/**
 * Finds the WebSocket frames that a server sends (RFC 6455 section 5), in place: it copies a frame only if a read has split it.
 * Frames of a server are unmasked. It expects no fragments and no compression.
 */

export const opcodes = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Takes one frame. Its payload is in `bytes[start, end)`, and only until this returns. */
export type FrameSink = (opcode: number, bytes: Uint8Array, start: number, end: number) => void;

export class FrameWalker {
  /** The beginning of a frame whose end has not come yet. */
  #rest: Uint8Array | null = null;

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
      if ((head & 0xf0) !== 0x80) throw new Error(`A frame begins with byte 0x${head.toString(16)}: it is incomplete.`);
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

/** A masked frame, as a client must send it. The mask is zero, so that we can write data into the frame. */
export function buildFrame(payload: Uint8Array, opcode: number): Uint8Array {
  const { length } = payload;
  const extended = length < 126 ? 0 : length < 0x10000 ? 2 : 8;
  const frame = new Uint8Array(2 + extended + 4 + length);
  const view = new DataView(frame.buffer);
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) view.setUint16(2, length);
  else if (extended === 8) view.setBigUint64(2, BigInt(length));
  frame.set(payload, frame.length - length);
  return frame;
}
