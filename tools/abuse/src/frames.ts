/** WebSocket frames (RFC 6455 section 5) as an attacker writes them: whole, in pieces, and wrong. */

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface FrameOptions {
  readonly opcode?: number;
  readonly isLast?: boolean;
  /** RSV1: what permessage-deflate marks its messages with. */
  readonly isCompressed?: boolean;
  /** The bits that nobody may set. */
  readonly reserved?: number;
}

/** Zeros: such a mask changes nothing, and costs nothing. */
const maskBytes = 4;

export function frame(payload: string | Uint8Array, options: FrameOptions = {}): Buffer {
  const { opcode = opcodes.text, isLast = true, isCompressed = false, reserved = 0 } = options;
  const bytes = Buffer.from(payload as string);
  const lengthBytes = bytes.length < 126 ? 0 : bytes.length < 65_536 ? 2 : 8;
  const head = Buffer.alloc(2 + lengthBytes + maskBytes);
  head[0] = (isLast ? 0x80 : 0) | (isCompressed ? 0x40 : 0) | (reserved << 4) | opcode;
  head[1] = 0x80 | (lengthBytes === 0 ? bytes.length : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) head.writeUInt16BE(bytes.length, 2);
  if (lengthBytes === 8) head.writeBigUInt64BE(BigInt(bytes.length), 2);
  return Buffer.concat([head, bytes]);
}
