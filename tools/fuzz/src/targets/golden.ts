/** The golden frames of the protocol, as initial inputs. */
import { existsSync, readFileSync } from 'node:fs';

interface Golden {
  readonly frames: readonly { direction: string; json: string; msgpack: string }[];
  readonly variants: readonly { direction: string; encoding: string; frame: string }[];
  readonly malformed: readonly { encoding: string; frame: string }[];
  readonly transcoding: readonly { msgpack: string }[];
}

// The workspace that owns the file tests its content.
const file = new URL('../../../../protocol/test/fixtures/golden.json', import.meta.url);
const golden: Golden = existsSync(file)
  ? JSON.parse(readFileSync(file, 'utf8'))
  : { frames: [], variants: [], malformed: [], transcoding: [] };

type Encoding = 'json' | 'msgpack';

export function goldenFrames(direction: 'to node' | 'from node', encoding: Encoding): Uint8Array[] {
  const goes = (frame: { direction: string }): boolean => frame.direction === direction;
  return [
    ...golden.frames.filter(goes).map((frame) => frame[encoding]),
    ...golden.variants.filter((variant) => goes(variant) && variant.encoding === encoding).map(({ frame }) => frame),
    ...golden.malformed
      .filter((each) => direction === 'to node' && each.encoding === encoding)
      .map(({ frame }) => frame),
  ].map((frame) => bytesOf(frame, encoding));
}

export function goldenData(): Uint8Array[] {
  return golden.transcoding.map(({ msgpack }) => bytesOf(msgpack, 'msgpack'));
}

function bytesOf(frame: string, encoding: Encoding): Uint8Array {
  return Uint8Array.from(encoding === 'json' ? Buffer.from(frame) : Buffer.from(frame.replaceAll(' ', ''), 'hex'));
}
