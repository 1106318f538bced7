/**
 * Reads MessagePack by hand, one element after the other, for layouts that are known beforehand. Every length is checked
 * against the bytes that are there before anything is made of it, so a short hostile frame cannot ask for much.
 */
import type { Payload } from './payload.js';

/** The bytes are not what the layout asks for; the message says where and why. */
export class LayoutError extends Error {
  override readonly name = 'LayoutError';
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class Reader {
  /** Where the next element begins. */
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** The first byte of the next element, not consumed. */
  peek(): number {
    return this.#need(1, 'an element');
  }

  arrayHeader(): number {
    const head = this.#take('an array');
    if (head >= 0x90 && head <= 0x9f) return head & 0x0f;
    if (head === 0xdc) return this.#uint16();
    if (head === 0xdd) return this.#uint32();
    throw this.#unexpected(head, 'an array');
  }

  /** Consumes a nil if one is next. */
  nil(): boolean {
    if (this.peek() !== 0xc0) return false;
    this.at++;
    return true;
  }

  boolean(what: string): boolean {
    const head = this.#take(what);
    if (head === 0xc3) return true;
    if (head === 0xc2) return false;
    throw this.#unexpected(head, what);
  }

  /** A non-negative integer up to 2^53 - 1. */
  uint(what: string): number {
    const head = this.#take(what);
    if (head < 0x80) return head;
    if (head === 0xcc) return this.#take(what);
    if (head === 0xcd) return this.#uint16();
    if (head === 0xce) return this.#uint32();
    if (head === 0xcf) {
      const value = this.#uint32() * 0x1_0000_0000 + this.#uint32();
      if (Number.isSafeInteger(value)) return value;
      throw new LayoutError(`${what} is above 2^53 - 1.`);
    }
    throw this.#unexpected(head, what);
  }

  /** Consumes a `str` header and its bytes; they stand in `bytes[at - length, at)` afterwards. Answers the length. */
  strLength(what: string): number {
    const head = this.#take(what);
    let length: number;
    if (head >= 0xa0 && head <= 0xbf) length = head & 0x1f;
    else if (head === 0xd9) length = this.#take(what);
    else if (head === 0xda) length = this.#uint16();
    else if (head === 0xdb) length = this.#uint32();
    else throw this.#unexpected(head, what);
    this.#skip(length, what);
    return length;
  }

  str(what: string): string {
    const length = this.strLength(what);
    try {
      return utf8.decode(this.#bytes.subarray(this.at - length, this.at));
    } catch {
      // The decoder's own error says nothing that the reader of this one would miss.
      throw new LayoutError(`${what} is not valid UTF-8.`);
    }
  }

  /** Consumes a `bin` header and its bytes; they stand in `bytes[at - length, at)` afterwards. Answers the length. */
  binLength(what: string): number {
    const head = this.#take(what);
    let length: number;
    if (head === 0xc4) length = this.#take(what);
    else if (head === 0xc5) length = this.#uint16();
    else if (head === 0xc6) length = this.#uint32();
    else throw this.#unexpected(head, what);
    this.#skip(length, what);
    return length;
  }

  /** A payload: `bin` holds MessagePack data, `str` holds JSON text. */
  payload(): Payload {
    const head = this.peek();
    const isText = (head >= 0xa0 && head <= 0xbf) || (head >= 0xd9 && head <= 0xdb);
    const length = isText ? this.strLength('A publication') : this.binLength('A publication');
    return { encoding: isText ? 'json' : 'msgpack', bytes: this.#bytes, start: this.at - length, end: this.at };
  }

  #take(what: string): number {
    const byte = this.#need(1, what);
    this.at++;
    return byte;
  }

  #uint16(): number {
    this.#need(2, 'A length');
    const value = ((this.#bytes[this.at] as number) << 8) | (this.#bytes[this.at + 1] as number);
    this.at += 2;
    return value;
  }

  #uint32(): number {
    const high = this.#uint16();
    return high * 0x10000 + this.#uint16();
  }

  #skip(length: number, what: string): void {
    if (length > this.#bytes.length - this.at) {
      throw new LayoutError(
        `${what} claims ${length} bytes at byte ${this.at}, but the frame ends after ${this.#bytes.length - this.at}.`,
      );
    }
    this.at += length;
  }

  #need(count: number, what: string): number {
    if (this.at + count > this.#bytes.length) {
      throw new LayoutError(`The frame ends at byte ${this.#bytes.length} where ${what} was expected.`);
    }
    return this.#bytes[this.at] as number;
  }

  #unexpected(head: number, what: string): LayoutError {
    return new LayoutError(
      `${what} cannot begin with byte 0x${head.toString(16).padStart(2, '0')} (at ${this.at - 1}).`,
    );
  }
}
