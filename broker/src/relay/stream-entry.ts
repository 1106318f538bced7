/**
 * An entry of a topic's stream: a run, and the messageIds of its publications. Each message on the topic's channel is a
 * position and an entry.
 *
 *     byte 0      2, or 3 if publications of the run have keys
 *     byte 1..2   number of publications, big endian
 *     byte 3..6   length of the run, big endian
 *     byte 7..    the run (run.ts of @fanfare/protocol)
 *     then for each messageId: its place in the run (2 bytes, 0 the first), its length (1 byte), ASCII (scoped-id.ts)
 *
 * An entry without keys has no byte for them, and nobody looks for any. lua/stream.lua reads and writes this layout too:
 * it finds each publication, and its key, without decoding data.
 */
import { checkRun, LayoutError, type Position, Reader, type Run, skipItem } from '@fanfare/protocol';

const withoutKeys = 2;
const withKeys = 3;
const headBytes = 7;

/** A stream entry: publications of a topic in order, with the offsets of the `first` and the `last` one. */
export interface StreamEntry {
  /** The epoch at the time of publication. The entry keeps it if the topic gets a new one. */
  readonly epoch: string;
  readonly first: number;
  readonly last: number;
  readonly run: Run;
  /** The whole entry, as it is in Redis. */
  readonly bytes: Buffer;
}

/** `take`: gets memory for the entry. */
export function encodeEntry(
  run: Run,
  messageIds: ReadonlyMap<string, number>,
  take: (length: number) => Buffer = Buffer.allocUnsafe,
): Buffer {
  let length = headBytes + run.bytes.length;
  if (messageIds.size > 0) for (const id of messageIds.keys()) length += 3 + id.length;
  const bytes = take(length);
  bytes[0] = run.hasKeys ? withKeys : withoutKeys;
  bytes.writeUInt16BE(run.count, 1);
  bytes.writeUInt32BE(run.bytes.length, 3);
  bytes.set(run.bytes, headBytes);
  let at = headBytes + run.bytes.length;
  for (const [id, place] of messageIds) {
    at = bytes.writeUInt16BE(place, at);
    at = bytes.writeUInt8(id.length, at);
    at += bytes.write(id, at, 'latin1');
  }
  return bytes;
}

/**
 * The entry at a position; null if the bytes are not an entry, for example from another version of Fanfare or another
 * program.
 */
export function decodeEntry({ epoch, offset: first }: Position, bytes: Buffer): StreamEntry | null {
  const hasKeys = bytes[0] === withKeys;
  if (bytes.length < headBytes || !(hasKeys || bytes[0] === withoutKeys)) return null;
  const count = bytes.readUInt16BE(1);
  const end = headBytes + bytes.readUInt32BE(3);
  if (count === 0 || end > bytes.length) return null;
  const run: Run = { count, bytes: bytes.subarray(headBytes, end), hasKeys };
  try {
    checkRun(run);
  } catch (error) {
    if (!(error instanceof LayoutError)) throw error;
    return null;
  }
  return { epoch, first, last: first + count - 1, run, bytes };
}

/** Like {@link decodeEntry}, for bytes that were checked before. */
export function readEntry(epoch: string, first: number, bytes: Buffer): StreamEntry {
  const count = bytes.readUInt16BE(1);
  const runBytes = bytes.subarray(headBytes, headBytes + bytes.readUInt32BE(3));
  const run = { count, bytes: runBytes, hasKeys: bytes[0] === withKeys };
  return { epoch, first, last: first + count - 1, run, bytes };
}

/**
 * The entry with its own copy of the bytes. Use it to keep an entry, which may be a view of a buffer read from Redis.
 */
export function copyOf({ epoch, first, bytes }: StreamEntry): StreamEntry {
  return readEntry(epoch, first, Buffer.from(bytes));
}

/** The messageIds with their places in the run, in order. */
export function messageIdsOf({ run, bytes }: StreamEntry): Map<string, number> {
  const ids = new Map<string, number>();
  let at = headBytes + run.bytes.length;
  while (at + 3 <= bytes.length) {
    const end = at + 3 + bytes.readUInt8(at + 2);
    ids.set(bytes.toString('latin1', at + 3, end), bytes.readUInt16BE(at));
    at = end;
  }
  return ids;
}

/** The entries before the first hole. A hole is an entry that was deleted or cannot be decoded. */
export function upToHole(entries: readonly StreamEntry[]): readonly StreamEntry[] {
  const end = entries.findIndex(({ first }, at) => at > 0 && first !== (entries[at - 1] as StreamEntry).last + 1);
  return end === -1 ? entries : entries.slice(0, end);
}

/** The entries after the last hole. */
export function fromHole(entries: readonly StreamEntry[]): readonly StreamEntry[] {
  const last = entries.findLastIndex(({ first }, at) => at > 0 && first !== (entries[at - 1] as StreamEntry).last + 1);
  return last === -1 ? entries : entries.slice(last);
}

/** The publications with offsets `from` to `to`. The entries must be consecutive and contain all of them. */
export function runOf(entries: readonly StreamEntry[], from: number, to: number): Run {
  const pieces: Uint8Array[] = [];
  let hasKeys = false;
  for (const entry of entries) {
    if (entry.last < from) continue;
    if (entry.first > to) break;
    if (entry.run.hasKeys) hasKeys = true;
    pieces.push(piece(entry, Math.max(from, entry.first) - entry.first, Math.min(to, entry.last) - entry.first + 1));
  }
  const [only] = pieces;
  const bytes = pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
  return { count: to - from + 1, bytes, hasKeys };
}

/** Splits a run into runs of one publication each. */
export function inOnes({ count, bytes, hasKeys }: Run): Run[] {
  const reader = new Reader(bytes);
  return Array.from({ length: count }, () => {
    const start = reader.at;
    skipItem(reader);
    return { count: 1, bytes: bytes.subarray(start, reader.at), hasKeys };
  });
}

/** The bytes of the publications at the places `from` up to, not including, `to`. */
function piece({ run }: StreamEntry, from: number, to: number): Uint8Array {
  if (from === 0 && to === run.count) return run.bytes;
  const reader = new Reader(run.bytes);
  for (let place = 0; place < from; place++) skipItem(reader);
  const start = reader.at;
  for (let place = from; place < to; place++) skipItem(reader);
  return run.bytes.subarray(start, reader.at);
}
