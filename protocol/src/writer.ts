/** Writes MessagePack (and plain text) into one growing buffer. */

const utf8 = new TextEncoder();

/** Below this a loop beats `TypedArray.set`, which needs a view of its source. */
const copyByLoopBelow = 48;

const hexDigits = utf8.encode('0123456789abcdef');
const base64Digits = utf8.encode('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');

const powersOf10 = Array.from({ length: 10 }, (_, exponent) => 10 ** exponent);

/** For each byte of a string in JSON: 0 as it is, 1 the first of several in UTF-8, 2 `\u00xx`, else the letter behind a backslash. */
const escapes = Uint8Array.from({ length: 256 }, (_, byte) => {
  const letter = '\b\t\n\f\r"\\'.indexOf(String.fromCharCode(byte));
  if (letter >= 0) return 'btnfr"\\'.charCodeAt(letter);
  if (byte < 0x20) return 2;
  return byte < 0x80 ? 0 : 1;
});

export class Writer {
  #bytes: Uint8Array;
  /** Bytes written so far; set it back to undo. */
  length = 0;
  /** Work since the last {@link clear} that is not in `length`, in bytes: what {@link undo} took back, and what was slow to write. */
  extra = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** What was written, as a view that the next write or {@link clear} may overwrite. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  /** What was written, as a copy of its own. */
  toBytes(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }

  clear(): void {
    this.length = 0;
    this.extra = 0;
  }

  /** Takes back what was written behind `length`, and counts it: it was work too. */
  undo(length: number): void {
    this.extra += this.length - length;
    this.length = length;
  }

  byte(value: number): void {
    if (this.length === this.#bytes.length) this.#reserve(1);
    this.#bytes[this.length++] = value;
  }

  copy(source: Uint8Array, start = 0, end = source.length): void {
    const count = end - start;
    this.#reserve(count);
    const target = this.#bytes;
    let at = this.length;
    if (count < copyByLoopBelow) {
      for (let from = start; from < end; from++) target[at++] = source[from] as number;
    } else {
      target.set(start === 0 && end === source.length ? source : source.subarray(start, end), at);
    }
    this.length += count;
  }

  /** Text that is known to be ASCII, as bytes without a header. */
  ascii(text: string): void {
    this.#reserve(text.length);
    const target = this.#bytes;
    const before = this.length;
    for (let index = 0; index < text.length; index++) target[before + index] = text.charCodeAt(index);
    this.length = before + text.length;
  }

  /** Any text, as UTF-8 without a header. */
  text(text: string): void {
    this.#reserve(text.length * 3);
    this.length += utf8.encodeInto(text, this.#bytes.subarray(this.length)).written;
  }

  /** UTF-8 as a string of JSON, escaped as JSON.stringify does. Answers false if it is not UTF-8; then some of it is written. */
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

  /** Writes about 256 bytes of the string, byte by byte; answers where the rest begins, -1 if it is not UTF-8. */
  #jsonPiece(source: Uint8Array, start: number, end: number): number {
    const stop = Math.min(end, start + 256);
    this.#reserve((stop - start) * 6 + 3);
    const target = this.#bytes;
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
      // Only what is divided as a small integer is divided fast.
      const upper = Math.floor(value / 1_000_000);
      this.digits(upper, Math.max(1, least - 6));
      this.digits(value - upper * 1_000_000, 6);
      return;
    }
    let count = least;
    for (let bound = powersOf10[least] as number; value >= bound; bound *= 10) count++;
    this.#reserve(count);
    const target = this.#bytes;
    let rest = value | 0;
    for (let at = this.length + count - 1; at >= this.length; at--) {
      const tenth = (rest / 10) | 0;
      target[at] = 0x30 + rest - tenth * 10;
      rest = tenth;
    }
    this.length += count;
  }

  base64(source: Uint8Array, start: number, end: number): void {
    this.#reserve(Math.ceil((end - start) / 3) * 4);
    const target = this.#bytes;
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

  nil(): void {
    this.byte(0xc0);
  }

  boolean(value: boolean): void {
    this.byte(value ? 0xc3 : 0xc2);
  }

  /** A non-negative safe integer, in the shortest form. */
  uint(value: number): void {
    if (value < 0x80) this.byte(value);
    else if (value < 0x100) this.#uint8(0xcc, value);
    else if (value < 0x10000) this.#uint16(0xcd, value);
    else if (value < 0x1_0000_0000) this.#uint32(0xce, value);
    else {
      this.#uint32(0xcf, Math.floor(value / 0x1_0000_0000));
      this.#rawUint32(value);
    }
  }

  str(text: string): void {
    if (text.length < 32 && isAscii(text)) {
      this.byte(0xa0 | text.length);
      this.ascii(text);
      return;
    }
    const bytes = utf8.encode(text);
    this.strHeader(bytes.length);
    this.copy(bytes);
  }

  strHeader(length: number): void {
    if (length < 32) this.byte(0xa0 | length);
    else if (length < 0x100) this.#uint8(0xd9, length);
    else if (length < 0x10000) this.#uint16(0xda, length);
    else this.#uint32(0xdb, length);
  }

  bin(bytes: Uint8Array): void {
    this.binHeader(bytes.length);
    this.copy(bytes);
  }

  binHeader(length: number): void {
    if (length < 0x100) this.#uint8(0xc4, length);
    else if (length < 0x10000) this.#uint16(0xc5, length);
    else this.#uint32(0xc6, length);
  }

  arrayHeader(count: number): void {
    if (count < 16) this.byte(0x90 | count);
    else if (count < 0x10000) this.#uint16(0xdc, count);
    else this.#uint32(0xdd, count);
  }

  #uint8(head: number, value: number): void {
    this.#reserve(2);
    this.#bytes[this.length++] = head;
    this.#bytes[this.length++] = value;
  }

  #uint16(head: number, value: number): void {
    this.#reserve(3);
    this.#bytes[this.length++] = head;
    this.#bytes[this.length++] = value >>> 8;
    this.#bytes[this.length++] = value;
  }

  #uint32(head: number, value: number): void {
    this.byte(head);
    this.#rawUint32(value);
  }

  #rawUint32(value: number): void {
    this.#reserve(4);
    this.#bytes[this.length++] = value >>> 24;
    this.#bytes[this.length++] = value >>> 16;
    this.#bytes[this.length++] = value >>> 8;
    this.#bytes[this.length++] = value;
  }

  #reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.length));
    this.#bytes = grown;
  }
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 0x7f) return false;
  return true;
}

/** Where the first byte from `at` on is that JSON strings do not hold as it is, or that is not ASCII. */
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

/** Bytes of the character outside ASCII that begins at `at`; 0 if it is not UTF-8 (RFC 3629: no surrogates, no longer form than needed). */
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
