/**
 * What each publication carries: its number and the time for which it was planned, as decimal digits, so that the same
 * bytes are good inside JSON, MessagePack and nothing at all. Then filler up to the size that was asked for.
 */

const sequenceDigits = 10;
const timeDigits = 16;

/** Bytes of a stamp; a publication needs a few more for its encoding. */
export const stampBytes = sequenceDigits + timeDigits;

const zero = 0x30;

export function writeStamp(bytes: Uint8Array, at: number, sequence: number, plannedUs: number): void {
  writeDigits(bytes, at, sequenceDigits, sequence);
  writeDigits(bytes, at + sequenceDigits, timeDigits, plannedUs);
}

export function readSequence(bytes: Uint8Array, at: number): number {
  return readDigits(bytes, at, sequenceDigits);
}

export function readPlannedUs(bytes: Uint8Array, at: number): number {
  return readDigits(bytes, at + sequenceDigits, timeDigits);
}

/** Microseconds of a clock that all processes of this machine share. */
export function nowUs(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}

function writeDigits(bytes: Uint8Array, at: number, count: number, value: number): void {
  let rest = Math.floor(value);
  for (let index = at + count - 1; index >= at; index--) {
    bytes[index] = zero + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}

/** NaN where there are no digits. */
function readDigits(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let index = at; index < at + count; index++) {
    const digit = (bytes[index] as number) - zero;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}
