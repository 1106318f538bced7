/**
 * Runs of publications. The node that accepts the publications writes the run once, in the form of a MessagePack
 * `publications` frame. MessagePack data is `bin`, JSON text is `str`. The run then goes through Redis to every
 * MessagePack subscriber unchanged. Only for JSON subscribers must a node read through it.
 */
import type { Payload } from './payload.js';
import { LayoutError, Reader } from './reader.js';
import type { Writer } from './writer.js';

/** Publications of one topic, in order. Only the answer to a subscribe may hold none ({@link emptyRun}). */
export interface Run {
  readonly count: number;
  readonly bytes: Uint8Array;
}

export const emptyRun: Run = { count: 0, bytes: new Uint8Array(0) };

/**
 * Maximum number of bytes in a run of several publications. Its frame, header included, then stays below 16 KiB: above
 * that, uWebSockets leaves its fast path (TopicTree::publishBig). A larger publication is a run of its own.
 */
export const maxRunBytes = 16_000;

/** Maximum number of bytes that {@link writeItem} puts before a payload. */
export const maxItemHeaderBytes = 5;

/** Appends one publication to a run. JSON text must be valid JSON: it reaches JSON subscribers as it is. */
export function writeItem(writer: Writer, payload: Payload): void {
  if (payload.encoding === 'msgpack') writer.binHeader(payload.end - payload.start);
  else writer.strHeader(payload.end - payload.start);
  writer.copy(payload.bytes, payload.start, payload.end);
}

/**
 * Visits the publications of a run in order. Throws `LayoutError` if the bytes are not exactly `count` publications;
 * those before the fault have been visited.
 */
export function forEachItem(run: Run, visit: (payload: Payload) => void): void {
  const reader = new Reader(run.bytes);
  for (let index = 0; index < run.count; index++) visit(reader.payload());
  checkEnd(reader, run);
}

/** Throws `LayoutError` if the bytes are not exactly `count` publications. Does not check the payloads. */
export function checkRun(run: Run): void {
  const reader = new Reader(run.bytes);
  for (let index = 0; index < run.count; index++) reader.skipPayload();
  checkEnd(reader, run);
}

function checkEnd(reader: Reader, run: Run): void {
  // Bytes behind the last one would go out in the frames of MessagePack subscribers.
  if (reader.at !== run.bytes.length) throw new LayoutError(`A run of ${run.count} ends before its bytes do.`);
}
