/** The walker finds frames wherever reads split them. */
import { describe, expect, it } from 'vitest';
import { buildFrame, FrameWalker, opcodes } from '../src/frames.js';

interface Found {
  readonly opcode: number;
  readonly payload: string;
}

function walk(chunks: readonly Uint8Array[]): Found[] {
  const walker = new FrameWalker();
  const found: Found[] = [];
  for (const chunk of chunks) {
    walker.walk(chunk, (opcode, bytes, start, end) => {
      found.push({ opcode, payload: new TextDecoder().decode(bytes.subarray(start, end)) });
    });
  }
  return found;
}

/** An unmasked frame, as a server sends it. */
function serverFrame(payload: string, opcode: number = opcodes.text): Uint8Array {
  const masked = buildFrame(payload, { opcode });
  const maskAt = masked.length - payload.length - 4;
  const frame = Uint8Array.from([...masked.subarray(0, maskAt), ...masked.subarray(maskAt + 4)]);
  frame[1] = (frame[1] as number) & 0x7f;
  return frame;
}

describe('FrameWalker', () => {
  const payloads = ['', 'a', 'b'.repeat(125), 'c'.repeat(126), 'd'.repeat(65_535), 'e'.repeat(65_536)];
  const frames = payloads.map((payload) => serverFrame(payload));

  it('reads lengths of 7, 16 and 64 bits', () => {
    expect(frames.map((frame) => frame[1])).toEqual([0, 1, 125, 126, 126, 127]);
    expect(walk([Buffer.concat(frames)]).map(({ payload }) => payload)).toEqual(payloads);
  });

  it('finds the same frames wherever the reads split them', () => {
    const short = ['', 'a', 'b'.repeat(125), 'c'.repeat(126)];
    const bytes = Buffer.concat(short.map((payload) => serverFrame(payload)));
    for (let first = 0; first <= bytes.length; first++) {
      for (const second of [first, first + 1, first + 130]) {
        const chunks = [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)];
        expect(walk(chunks).map(({ payload }) => payload)).toEqual(short);
      }
    }
  });

  it('finds a frame that arrives byte by byte', () => {
    const bytes = serverFrame('d'.repeat(70_000)).subarray(0, 12);
    const rest = serverFrame('d'.repeat(70_000)).subarray(12);
    const chunks = [...Array.from(bytes, (byte) => Uint8Array.of(byte)), rest];
    expect(walk(chunks)).toEqual([{ opcode: opcodes.text, payload: 'd'.repeat(70_000) }]);
  });

  it('returns the type of each frame', () => {
    const bytes = Buffer.concat([serverFrame('x', opcodes.binary), serverFrame('', opcodes.ping)]);
    expect(walk([bytes]).map(({ opcode }) => opcode)).toEqual([opcodes.binary, opcodes.ping]);
  });

  it('rejects fragments, compressed frames and masked frames', () => {
    expect(() => walk([Uint8Array.of(0x01, 0x00)])).toThrow('incomplete');
    expect(() => walk([Uint8Array.of(0xc1, 0x00)])).toThrow('incomplete');
    expect(() => walk([Uint8Array.of(0x81, 0x80)])).toThrow('mask');
  });
});
