/**
 * Reads plain MessagePack: nil, booleans, numbers, strings, bytes, arrays, maps, timestamps. It creates no other
 * values, and compares each length with the available bytes. So hostile data can only cause an error.
 */
import { LayoutError } from '@fanfare/protocol';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const scratch = new DataView(new ArrayBuffer(8));
const scratchBytes = new Uint8Array(scratch.buffer);

/** Deepest nesting of arrays and maps that is read and written: the stack is finite. */
export const maxDepth = 1_000;

/**
 * Keys repeat from publication to publication. So the last keys are found by a hash of their bytes, and not decoded
 * again.
 */
const keySlots = 256;
const maxKeyBytes = 31;

/** One reader can read any number of values, one after the other. */
export class MsgpackReader {
  readonly #keys: Array<string | undefined> = new Array(keySlots).fill(undefined);
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #depth = 0;

  /** Reads the bytes as one plain value. Throws if they contain anything else, or more than one value. */
  read(bytes: Uint8Array): unknown {
    this.#bytes = bytes;
    this.#at = 0;
    this.#depth = 0;
    const value = this.#value();
    if (this.#at !== bytes.length) throw new LayoutError('There are extra bytes after the value.');
    return value;
  }

  #value(): unknown {
    if (this.#at >= this.#bytes.length) throw cutShort();
    const head = this.#bytes[this.#at++] as number;
    if (head < 0x80) return head;
    if (head < 0x90) return this.#map(head & 0x0f);
    if (head < 0xa0) return this.#array(head & 0x0f);
    if (head < 0xc0) return this.#str(head & 0x1f);
    if (head >= 0xe0) return head - 0x100;
    switch (head) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6: {
        const start = this.#skip(this.#uint(1 << (head - 0xc4)));
        // A copy: a view would keep the whole frame alive.
        return this.#bytes.slice(start, this.#at);
      }
      case 0xc7:
        return this.#timestamp(this.#uint(1));
      case 0xca:
        return this.#load(4).getFloat32(0);
      case 0xcb:
        return this.#load(8).getFloat64(0);
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#uint(1 << (head - 0xcc));
      case 0xcf:
        return exact(this.#load(8).getBigUint64(0));
      case 0xd0:
        return this.#load(1).getInt8(0);
      case 0xd1:
        return this.#load(2).getInt16(0);
      case 0xd2:
        return this.#load(4).getInt32(0);
      case 0xd3:
        return exact(this.#load(8).getBigInt64(0));
      case 0xd6:
      case 0xd7:
        return this.#timestamp(4 << (head - 0xd6));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#str(this.#uint(1 << (head - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#uint(2 << (head - 0xdc)));
      case 0xde:
      case 0xdf:
        return this.#map(this.#uint(2 << (head - 0xde)));
      default:
        throw new LayoutError(`0x${head.toString(16)} is not a plain value.`);
    }
  }

  #array(count: number): unknown[] {
    this.#enter();
    const array: unknown[] = [];
    for (let index = 0; index < count; index++) array.push(this.#value());
    this.#depth--;
    return array;
  }

  #map(count: number): object {
    this.#enter();
    const fields: Record<string, unknown> = {};
    for (let index = 0; index < count; index++) {
      const key = this.#key();
      const value = this.#value();
      // Assigning it would replace the prototype.
      if (key === '__proto__')
        Object.defineProperty(fields, key, { value, enumerable: true, writable: true, configurable: true });
      else fields[key] = value;
    }
    this.#depth--;
    return fields;
  }

  #key(): string {
    const bytes = this.#bytes;
    const start = this.#at + 1;
    const length = (bytes[this.#at] as number) - 0xa0;
    const end = start + length;
    // It is not a short string, as most keys are, or it is incomplete.
    if (!(length >= 0 && length <= maxKeyBytes && end <= bytes.length)) {
      const key = this.#value();
      if (typeof key === 'object') throw new LayoutError('A key is neither a string nor a number.');
      return String(key);
    }
    let hash = length;
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
    const slot = (hash ^ (hash >>> 15)) & (keySlots - 1);
    const known = this.#keys[slot];
    if (known !== undefined && known.length === length && isTextAt(known, bytes, start)) {
      this.#at = end;
      return known;
    }
    this.#at = start;
    const key = this.#str(length);
    // Only ASCII has as many characters as bytes; anything else is never found.
    this.#keys[slot] = key;
    return key;
  }

  #str(length: number): string {
    const bytes = this.#bytes;
    const start = this.#skip(length);
    if (length < 32) {
      // Short text is usually ASCII, and calling the decoder costs more than reading it here.
      let text = '';
      for (let at = start; at < this.#at; at++) {
        const byte = bytes[at] as number;
        if (byte > 0x7f) return utf8.decode(bytes.subarray(start, this.#at));
        text += String.fromCharCode(byte);
      }
      return text;
    }
    return utf8.decode(bytes.subarray(start, this.#at));
  }

  /** Extension -1 of the specification, in 4, 8 or 12 bytes. */
  #timestamp(length: number): Date {
    if (this.#uint(1) !== 0xff) throw new LayoutError('The only supported extension is the timestamp.');
    if (length === 4) return new Date(this.#uint(4) * 1_000);
    if (length === 8) {
      const packed = this.#load(8).getBigUint64(0);
      return new Date(Number(packed & 0x3_ffff_ffffn) * 1_000 + Number(packed >> 34n) / 1_000_000);
    }
    if (length !== 12) throw new LayoutError(`A timestamp has ${length} bytes, not 4, 8 or 12.`);
    const nanoseconds = this.#uint(4);
    return new Date(Number(this.#load(8).getBigInt64(0)) * 1_000 + nanoseconds / 1_000_000);
  }

  /** An unsigned integer of 1, 2 or 4 bytes. */
  #uint(size: number): number {
    let value = 0;
    for (let at = this.#skip(size); at < this.#at; at++) value = value * 0x100 + (this.#bytes[at] as number);
    return value;
  }

  /** Copies the next bytes into a view for reading numbers: a new view of each frame would cost more than the copy. */
  #load(size: number): DataView {
    const start = this.#skip(size);
    for (let index = 0; index < size; index++) scratchBytes[index] = this.#bytes[start + index] as number;
    return scratch;
  }

  /** Skips `count` bytes. Returns the place where they begin. */
  #skip(count: number): number {
    const start = this.#at;
    if (count > this.#bytes.length - start) throw cutShort();
    this.#at += count;
    return start;
  }

  #enter(): void {
    if (++this.#depth > maxDepth) throw new LayoutError(`The data is nested deeper than ${maxDepth} levels.`);
  }
}

function cutShort(): LayoutError {
  return new LayoutError('The data is incomplete.');
}

function isTextAt(text: string, bytes: Uint8Array, start: number): boolean {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) !== bytes[start + index]) return false;
  }
  return true;
}

/** A number if that is exact, otherwise a bigint. */
function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
