/**
 * Writes JSON as UTF-8: strings, numbers and bytes straight from MessagePack (transcode.ts). Apart from {@link Writer},
 * so that browsers need not load it.
 */
import { copyByLoopBelow, Writer } from './writer.js';

const ascii = new TextEncoder();

const hexDigits = ascii.encode('0123456789abcdef');
const base64Digits = ascii.encode('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');

const powersOf10 = Array.from({ length: 10 }, (_, exponent) => 10 ** exponent);

/**
 * How to write each byte of a string in JSON. 0: unchanged; 1: first of several bytes in UTF-8; 2: `\u00xx`; else the
 * letter after a backslash.
 */
const escapes = Uint8Array.from({ length: 256 }, (_, byte) => {
  const letter = '\b\t\n\f\r"\\'.indexOf(String.fromCharCode(byte));
  if (letter >= 0) return 'btnfr"\\'.charCodeAt(letter);
  if (byte < 0x20) return 2;
  return byte < 0x80 ? 0 : 1;
});

export class JsonWriter extends Writer {
  /**
   * Work since the last {@link clear} that `length` does not show, in bytes. It includes bytes that {@link undo}
   * removed, and the extra cost of slow text.
   */
  extra = 0;

  override clear(): void {
    super.clear();
    this.extra = 0;
  }

  /** Removes everything after `length`, and counts it as work. */
  undo(length: number): void {
    this.extra += this.length - length;
    this.length = length;
  }

  /**
   * UTF-8 as a string of JSON, escaped as JSON.stringify does. Returns false if it is not UTF-8; a part of it may then
   * be written.
   */
  jsonString(source: Uint8Array, start: number, end: number): boolean {
    this.byte(0x22);
    let at = start;
    while (at < end) {
      const plainEnd = end - at < copyByLoopBelow ? at : endOfPlain(source, at, end);
      if (plainEnd - at >= copyByLoopBelow) {
        this.copy(source, at, plainEnd);
        at = plainEnd;
      } else {
        at = this.#jsonPiece(source, at, end);
        if (at < 0) return false;
      }
    }
    this.byte(0x22);
    return true;
  }

  /**
   * Writes about 256 bytes of the string, byte by byte. Returns the start of the rest, or -1 if the string is not
   * UTF-8.
   */
  #jsonPiece(source: Uint8Array, start: number, end: number): number {
    const stop = Math.min(end, start + 256);
    const target = this.reserve((stop - start) * 6 + 3);
    let to = this.length;
    let at = start;
    while (at < stop) {
      const byte = source[at] as number;
      const mark = escapes[byte] as number;
      if (mark === 0) {
        target[to++] = byte;
        at++;
      } else if (mark === 1) {
        const next = at + utf8Length(source, at, end);
        if (next === at) return -1;
        while (at < next) target[to++] = source[at++] as number;
      } else {
        target[to++] = 0x5c;
        if (mark === 2) {
          target[to++] = 0x75;
          target[to++] = 0x30;
          target[to++] = 0x30;
          target[to++] = 0x30 + (byte >> 4);
          target[to++] = hexDigits[byte & 0x0f] as number;
        } else {
          target[to++] = mark;
        }
        at++;
      }
    }
    this.length = to;
    return at;
  }

  /** An integer from 0 to 2^53 - 1 in decimal digits, with zeros before it if it has fewer than `least`. */
  digits(value: number, least = 1): void {
    if (value > 0x3fff_ffff) {
      // Division is fast only for small integers.
      const upper = Math.floor(value / 1_000_000);
      this.digits(upper, Math.max(1, least - 6));
      this.digits(value - upper * 1_000_000, 6);
      return;
    }
    let count = least;
    for (let bound = powersOf10[least] as number; value >= bound; bound *= 10) count++;
    const target = this.reserve(count);
    let rest = value | 0;
    for (let at = this.length + count - 1; at >= this.length; at--) {
      const tenth = (rest / 10) | 0;
      target[at] = 0x30 + rest - tenth * 10;
      rest = tenth;
    }
    this.length += count;
  }

  base64(source: Uint8Array, start: number, end: number): void {
    const target = this.reserve(Math.ceil((end - start) / 3) * 4);
    let to = this.length;
    for (let at = start; at < end; at += 3) {
      const bits = ((source[at] as number) << 16) | ((at + 1 < end ? (source[at + 1] as number) : 0) << 8);
      const all = at + 2 < end ? bits | (source[at + 2] as number) : bits;
      target[to++] = base64Digits[all >> 18] as number;
      target[to++] = base64Digits[(all >> 12) & 0x3f] as number;
      target[to++] = at + 1 < end ? (base64Digits[(all >> 6) & 0x3f] as number) : 0x3d;
      target[to++] = at + 2 < end ? (base64Digits[all & 0x3f] as number) : 0x3d;
    }
    this.length = to;
  }
}

/** Position of the first byte from `at` on that a JSON string must escape or that is not ASCII. */
function endOfPlain(bytes: Uint8Array, at: number, end: number): number {
  let plain = at;
  while (plain + 4 <= end) {
    const first = escapes[bytes[plain] as number] as number;
    const second = escapes[bytes[plain + 1] as number] as number;
    const third = escapes[bytes[plain + 2] as number] as number;
    const fourth = escapes[bytes[plain + 3] as number] as number;
    if ((first | second | third | fourth) !== 0) break;
    plain += 4;
  }
  while (plain < end && escapes[bytes[plain] as number] === 0) plain++;
  return plain;
}

/**
 * Bytes of the character outside ASCII that begins at `at`; 0 if it is not UTF-8 (RFC 3629: no surrogates, no longer
 * form than needed).
 */
function utf8Length(bytes: Uint8Array, at: number, end: number): 0 | 2 | 3 | 4 {
  const first = bytes[at] as number;
  if (first < 0xc2 || first > 0xf4) return 0;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (at + length > end) return 0;
  const second = bytes[at + 1] as number;
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  if (length > 2 && ((bytes[at + 2] as number) & 0xc0) !== 0x80) return 0;
  if (length > 3 && ((bytes[at + 3] as number) & 0xc0) !== 0x80) return 0;
  return length;
}
