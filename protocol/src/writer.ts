/** Writes MessagePack (and plain text) into one growing buffer. */

const utf8 = new TextEncoder();

/** Below this a loop beats `TypedArray.set`, which needs a view of its source. */
export const copyByLoopBelow = 48;

export class Writer {
  #bytes: Uint8Array;
  /** Bytes written so far; set it back to undo. */
  length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** The written bytes, as a view that the next write or {@link clear} may overwrite. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  /** A copy of the written bytes. */
  toBytes(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }

  clear(): void {
    this.length = 0;
  }

  byte(value: number): void {
    if (this.length === this.#bytes.length) this.reserve(1);
    this.#bytes[this.length++] = value;
  }

  copy(source: Uint8Array, start = 0, end = source.length): void {
    const count = end - start;
    this.reserve(count);
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
    this.reserve(text.length);
    const target = this.#bytes;
    const before = this.length;
    for (let index = 0; index < text.length; index++) target[before + index] = text.charCodeAt(index);
    this.length = before + text.length;
  }

  /** Any text, as UTF-8 without a header. */
  text(text: string): void {
    this.reserve(text.length * 3);
    this.length += utf8.encodeInto(text, this.#bytes.subarray(this.length)).written;
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
    this.reserve(2);
    this.#bytes[this.length++] = head;
    this.#bytes[this.length++] = value;
  }

  #uint16(head: number, value: number): void {
    this.reserve(3);
    this.#bytes[this.length++] = head;
    this.#bytes[this.length++] = value >>> 8;
    this.#bytes[this.length++] = value;
  }

  #uint32(head: number, value: number): void {
    this.byte(head);
    this.#rawUint32(value);
  }

  #rawUint32(value: number): void {
    this.reserve(4);
    this.#bytes[this.length++] = value >>> 24;
    this.#bytes[this.length++] = value >>> 16;
    this.#bytes[this.length++] = value >>> 8;
    this.#bytes[this.length++] = value;
  }

  /** Makes room for `count` more bytes and returns the buffer. Write from `length` on, then raise `length`. */
  protected reserve(count: number): Uint8Array {
    const needed = this.length + count;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, this.length));
      this.#bytes = grown;
    }
    return this.#bytes;
  }
}

/** Whether every character is ASCII, so that the text has as many bytes as characters. */
export function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 0x7f) return false;
  return true;
}
