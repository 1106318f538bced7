/**
 * Reads MessagePack by hand, one element after the other, for layouts that are known beforehand. It compares each
 * length with the available bytes before it uses the length, so a short hostile frame cannot make it allocate much.
 */
import { PeerError } from './errors.js';
import type { KeyedPayload } from './payload.js';

/** The bytes do not match the layout. The message explains where and why. */
export class LayoutError extends PeerError {
  override readonly name = 'LayoutError';
}

const utf8 = /* @__PURE__ */ new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Each method takes one element; `what` names it in the sentence of a {@link LayoutError}. */
export class Reader {
  /** Position of the next element. */
  at = 0;
  bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** Starts again with other bytes. */
  reset(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.at = 0;
  }

  arrayHeader(what: string): number {
    const head = this.#take(what);
    if (head >= 0x90 && head <= 0x9f) return head & 0x0f;
    if (head === 0xdc || head === 0xdd) return this.#unsigned(2 << (head - 0xdc), what);
    throw this.#unexpected(head, what);
  }

  /** Takes a nil if one is next. */
  nil(): boolean {
    if (this.bytes[this.at] !== 0xc0) return false;
    this.at++;
    return true;
  }

  boolean(what: string): boolean {
    const head = this.#take(what);
    if (head === 0xc3) return true;
    if (head === 0xc2) return false;
    throw this.#unexpected(head, what);
  }

  /** An integer from 0 to 2^53 - 1, in any of the integer formats. */
  uint(what: string): number {
    const head = this.#take(what);
    if (head < 0x80) return head;
    // 0xcc to 0xcf are unsigned, of 1, 2, 4 and 8 bytes; 0xd0 to 0xd3 are signed, of the same lengths.
    if (head < 0xcc || head > 0xd3) throw this.#unexpected(head, what);
    const size = 1 << (head & 3);
    const value = this.#unsigned(size, what);
    if (head >= 0xd0 && value >= 2 ** (8 * size - 1)) throw new LayoutError(`${capital(what)} is negative.`);
    if (!Number.isSafeInteger(value)) throw new LayoutError(`${capital(what)} is above 2^53 - 1.`);
    return value;
  }

  /** Reads a `str` and returns its length. Its bytes are then in `bytes[at - length, at)`. */
  strLength(what: string): number {
    const head = this.#take(what);
    if (head >= 0xa0 && head <= 0xbf) return this.#skip(head & 0x1f, what);
    if (head >= 0xd9 && head <= 0xdb) return this.#skip(this.#unsigned(1 << (head - 0xd9), what), what);
    throw this.#unexpected(head, what);
  }

  str(what: string): string {
    const length = this.strLength(what);
    try {
      return utf8.decode(this.bytes.subarray(this.at - length, this.at));
    } catch {
      // The decoder's own error contains nothing more.
      throw new LayoutError(`${capital(what)} is not valid UTF-8.`);
    }
  }

  /** Reads a `bin` and returns its length. Its bytes are then in `bytes[at - length, at)`. */
  binLength(what: string): number {
    const head = this.#take(what);
    if (head >= 0xc4 && head <= 0xc6) return this.#skip(this.#unsigned(1 << (head - 0xc4), what), what);
    throw this.#unexpected(head, what);
  }

  /** A payload: `bin` holds MessagePack data, `str` holds JSON text. Its key was read before. */
  payload(key: string | null = null, remove = false): KeyedPayload {
    const isText = this.#isStrNext();
    const length = this.#payloadLength(isText);
    const encoding = isText ? 'json' : 'msgpack';
    return { encoding, bytes: this.bytes, start: this.at - length, end: this.at, key, remove };
  }

  /** Takes a payload without decoding it. */
  skipPayload(): void {
    this.#payloadLength(this.#isStrNext());
  }

  #isStrNext(): boolean {
    const head = this.bytes[this.at] as number;
    return (head >= 0xa0 && head <= 0xbf) || (head >= 0xd9 && head <= 0xdb);
  }

  #payloadLength(isText: boolean): number {
    return isText ? this.strLength('a publication') : this.binLength('a publication');
  }

  #take(what: string): number {
    if (this.at >= this.bytes.length) throw this.#tooShort(what);
    return this.bytes[this.at++] as number;
  }

  /** The next `size` bytes, most significant first. Of 8 bytes the lowest bits may be lost. */
  #unsigned(size: number, what: string): number {
    const end = this.at + size;
    if (end > this.bytes.length) throw this.#tooShort(what);
    let value = 0;
    while (this.at < end) value = value * 0x100 + (this.bytes[this.at++] as number);
    return value;
  }

  #skip(length: number, what: string): number {
    const left = this.bytes.length - this.at;
    if (length > left)
      throw new LayoutError(`${capital(what)} claims ${length} bytes at byte ${this.at}, but has ${left}.`);
    this.at += length;
    return length;
  }

  #tooShort(what: string): LayoutError {
    return new LayoutError(`The frame ends at byte ${this.bytes.length}, within or before ${what}.`);
  }

  #unexpected(head: number, what: string): LayoutError {
    const shown = head.toString(16).padStart(2, '0');
    return new LayoutError(`${capital(what)} cannot begin with byte 0x${shown} (at ${this.at - 1}).`);
  }
}

function capital(what: string): string {
  return what.charAt(0).toUpperCase() + what.slice(1);
}
