/**
 * Runs of publications. The node that accepts the publications writes the run once, in the form of a MessagePack
 * `publications` frame. MessagePack data is `bin`, JSON text is `str`. The run then goes through Redis to every
 * MessagePack subscriber unchanged. Only for JSON subscribers, and for keys, must a node read through it.
 *
 * A publication with a key has a head before its data. Scripts in Redis read it too, so its form is part of the layout:
 *
 *     byte 0      0xc7: `ext 8` of MessagePack, which is no data
 *     byte 1      length of the key, and of what follows the key
 *     byte 2      bit 0: `remove`; bits 1 to 6: length of what follows the key. This version writes nothing there, and
 *                 skips it: later versions can add fields of a publication
 *     byte 3..    the key, ASCII
 */
import type { KeyedPayload, Payload } from './payload.js';
import { LayoutError, Reader } from './reader.js';
import type { Writer } from './writer.js';

/** Publications of one topic, in order. Only the answer to a subscribe may hold none ({@link emptyRun}). */
export interface Run {
  readonly count: number;
  readonly bytes: Uint8Array;
  /** False if no publication has a key. Then `bytes` is exactly what MessagePack subscribers get. */
  readonly hasKeys: boolean;
}

export const emptyRun: Run = { count: 0, bytes: new Uint8Array(0), hasKeys: false };

/**
 * Maximum number of bytes in a run of several publications. Its frame, header included, then stays below 16 KiB: above
 * that, uWebSockets leaves its fast path (TopicTree::publishBig). A larger publication is a run of its own.
 */
export const maxRunBytes = 16_000;

/** Maximum number of bytes before the data of a publication without a key. */
const maxDataHeadBytes = 5;

const keyHead = 0xc7;
const keyHeadBytes = 3;
const removeBit = 1;

/** Maximum number of bytes that {@link writeItem} writes. */
export function maxItemBytes({ start, end, key }: KeyedPayload): number {
  return maxDataHeadBytes + (key === null ? 0 : keyHeadBytes + key.length) + end - start;
}

/** Appends one publication to a run. JSON text must be valid JSON: it reaches JSON subscribers as it is. */
export function writeItem(writer: Writer, payload: KeyedPayload): void {
  const { key } = payload;
  if (key !== null) {
    writer.byte(keyHead);
    writer.byte(key.length);
    writer.byte(payload.remove ? removeBit : 0);
    writer.ascii(key);
  }
  writeData(writer, payload);
}

/** Appends the data of a publication without its key, as MessagePack subscribers get it. */
export function writeData(writer: Writer, payload: Payload): void {
  if (payload.encoding === 'msgpack') writer.binHeader(payload.end - payload.start);
  else writer.strHeader(payload.end - payload.start);
  writer.copy(payload.bytes, payload.start, payload.end);
}

/** Reads the next publication of a run. Throws `LayoutError`. */
export function readItem(reader: Reader): KeyedPayload {
  const { at, bytes } = reader;
  const keyLength = skipKey(reader);
  if (keyLength === 0) return reader.payload();
  const key = String.fromCharCode(...bytes.subarray(at + keyHeadBytes, at + keyHeadBytes + keyLength));
  return reader.payload(key, ((bytes[at + 2] as number) & removeBit) !== 0);
}

/** Takes the next publication of a run without decoding it. Throws `LayoutError`. */
export function skipItem(reader: Reader): void {
  skipKey(reader);
  reader.skipPayload();
}

/** Takes the key of the next publication, if it has one. Returns the length of the key, or 0. */
function skipKey(reader: Reader): number {
  const { at, bytes } = reader;
  if (bytes[at] !== keyHead) return 0;
  if (at + keyHeadBytes > bytes.length) throw new LayoutError(`A run ends at byte ${bytes.length}, within a key.`);
  const length = bytes[at + 1] as number;
  const keyLength = length - ((bytes[at + 2] as number) >> 1);
  if (keyLength < 0) throw new LayoutError(`The key at byte ${at} of a run is shorter than what follows it.`);
  // If the run ends before, the data is missing.
  reader.at = at + keyHeadBytes + length;
  return keyLength;
}

/**
 * Visits the publications of a run in order. Throws `LayoutError` if the bytes are not exactly `count` publications;
 * those before the fault have been visited.
 */
export function forEachItem(run: Run, visit: (payload: KeyedPayload) => void): void {
  const reader = new Reader(run.bytes);
  for (let index = 0; index < run.count; index++) visit(readItem(reader));
  checkEnd(reader, run);
}

/** Throws `LayoutError` if the bytes are not exactly `count` publications. Does not check the payloads. */
export function checkRun(run: Run): void {
  const reader = new Reader(run.bytes);
  // A key in a run that claims to have none would go out in the frames of MessagePack subscribers.
  if (run.hasKeys) for (let index = 0; index < run.count; index++) skipItem(reader);
  else for (let index = 0; index < run.count; index++) reader.skipPayload();
  checkEnd(reader, run);
}

function checkEnd(reader: Reader, run: Run): void {
  // Bytes behind the last one would go out in the frames of MessagePack subscribers.
  if (reader.at !== run.bytes.length) throw new LayoutError(`A run of ${run.count} ends before its bytes do.`);
}
