/**
 * The stamp of each publication: its stream, its number in the stream and its planned time. It consists of decimal
 * digits, so the same bytes are valid in JSON, in MessagePack and as plain data. Filler up to the requested size
 * follows.
 */

const streamDigits = 6;
const sequenceDigits = 10;
const timeDigits = 16;

/** This mark precedes the stamp, so that readers find the stamp in a message of any protocol. */
export const stampMark = 'ff:';

export const maxStreams = 10 ** streamDigits;

/** Bytes of a stamp with its mark. */
export const stampBytes = stampMark.length + streamDigits + sequenceDigits + timeDigits;

const zero = 0x30;
const colon = 0x3a;
const letterF = 0x66;

/** A publication's data with room for the stamp at its beginning. */
export function blankData(bytes: number): string {
  return `${stampMark}${'0'.repeat(stampBytes - stampMark.length)}`.padEnd(bytes, 'x');
}

/** Writes after the mark at `at`. */
export function writeStamp(bytes: Uint8Array, at: number, stream: number, sequence: number, plannedUs: number): void {
  const start = at + stampMark.length;
  writeDigits(bytes, start, streamDigits, stream);
  writeDigits(bytes, start + streamDigits, sequenceDigits, sequence);
  writeDigits(bytes, start + streamDigits + sequenceDigits, timeDigits, plannedUs);
}

export function stampText(stream: number, sequence: number, plannedUs: number): string {
  const digits = (value: number, count: number): string => String(Math.floor(value)).padStart(count, '0');
  return `${stampMark}${digits(stream, streamDigits)}${digits(sequence, sequenceDigits)}${digits(plannedUs, timeDigits)}`;
}

/** Where the next stamp begins at or after `at`; -1 if there is none before `end`. */
export function findStamp(bytes: Uint8Array, at: number, end: number): number {
  for (let from = at; from + stampBytes <= end; from++) {
    from = bytes.indexOf(letterF, from);
    if (from < 0 || from + stampBytes > end) return -1;
    if (bytes[from + 1] === letterF && bytes[from + 2] === colon) return from;
  }
  return -1;
}

/** NaN if there are no digits. */
export function readStream(bytes: Uint8Array, at: number): number {
  return readDigits(bytes, at + stampMark.length, streamDigits);
}

export function readSequence(bytes: Uint8Array, at: number): number {
  return readDigits(bytes, at + stampMark.length + streamDigits, sequenceDigits);
}

export function readPlannedUs(bytes: Uint8Array, at: number): number {
  return readDigits(bytes, at + stampMark.length + streamDigits + sequenceDigits, timeDigits);
}

/** `performance.now()` counts from the start of the process, by the same clock. */
const startUs = Number(process.hrtime.bigint() / 1_000n) - performance.now() * 1_000;

/** Microseconds of a clock that all processes of this machine share. */
export function nowUs(): number {
  return Math.round(startUs + performance.now() * 1_000);
}

function writeDigits(bytes: Uint8Array, at: number, count: number, value: number): void {
  let rest = Math.floor(value);
  for (let index = at + count - 1; index >= at; index--) {
    bytes[index] = zero + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}

function readDigits(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let index = at; index < at + count; index++) {
    const digit = (bytes[index] as number) - zero;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}
