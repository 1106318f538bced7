/**
 * Reads plain MessagePack: nil, booleans, numbers, strings, bytes, arrays, maps, timestamps. Nothing else is made of it,
 * and every length is checked against the bytes that are there, so hostile data can only fail.
 */
import { LayoutError } from '@fanfare/protocol';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Deepest nesting of arrays and maps that is read: the stack is finite. */
const maxDepth = 1_000;

export class MsgpackReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #depth = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The next value. Throws where there is none that is plain. */
  value(): unknown {
    const head = this.#uint(1);
    if (head < 0x80) return head;
    if (head < 0x90) return this.#map(head & 0x0f);
    if (head < 0xa0) return this.#array(head & 0x0f);
    if (head < 0xc0) return this.#str(head & 0x1f);
    if (head >= 0xe0) return head - 0x100;
    const view = this.#view;
    switch (head) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        // A copy: a view would keep the whole frame alive.
        return this.#take(this.#uint(1 << (head - 0xc4))).slice();
      case 0xc7:
        return this.#timestamp(this.#uint(1));
      case 0xca:
        return view.getFloat32(this.#skip(4));
      case 0xcb:
        return view.getFloat64(this.#skip(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#uint(1 << (head - 0xcc));
      case 0xcf:
        return exact(view.getBigUint64(this.#skip(8)));
      case 0xd0:
        return view.getInt8(this.#skip(1));
      case 0xd1:
        return view.getInt16(this.#skip(2));
      case 0xd2:
        return view.getInt32(this.#skip(4));
      case 0xd3:
        return exact(view.getBigInt64(this.#skip(8)));
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
        throw new LayoutError(`0x${head.toString(16)} begins no plain value.`);
    }
  }

  #array(count: number): unknown[] {
    this.#enter();
    const array: unknown[] = [];
    for (let index = 0; index < count; index++) array.push(this.value());
    this.#depth--;
    return array;
  }

  #map(count: number): object {
    this.#enter();
    const fields: Record<string, unknown> = {};
    for (let index = 0; index < count; index++) {
      const key = this.value();
      if (typeof key === 'object') throw new LayoutError('A key is neither a string nor a number.');
      // Assigning it would replace the prototype.
      if (key === '__proto__')
        Object.defineProperty(fields, key, {
          value: this.value(),
          enumerable: true,
          writable: true,
          configurable: true,
        });
      else fields[String(key)] = this.value();
    }
    this.#depth--;
    return fields;
  }

  #str(length: number): string {
    const start = this.#skip(length);
    if (length < 32) {
      // Short text is ASCII as a rule, and calling the decoder costs more than reading it here.
      let text = '';
      for (let at = start; at < this.#at; at++) {
        const byte = this.#bytes[at] as number;
        if (byte > 0x7f) return utf8.decode(this.#bytes.subarray(start, this.#at));
        text += String.fromCharCode(byte);
      }
      return text;
    }
    return utf8.decode(this.#bytes.subarray(start, this.#at));
  }

  /** Extension -1 of the specification, in 4, 8 or 12 bytes. */
  #timestamp(length: number): Date {
    const view = this.#view;
    if (view.getInt8(this.#skip(1)) !== -1) throw new LayoutError('The only extension that is read is the timestamp.');
    const at = this.#skip(length);
    if (length === 4) return new Date(view.getUint32(at) * 1_000);
    if (length === 8) {
      const packed = view.getBigUint64(at);
      return new Date(Number(packed & 0x3_ffff_ffffn) * 1_000 + Number(packed >> 34n) / 1_000_000);
    }
    if (length === 12) return new Date(Number(view.getBigInt64(at + 4)) * 1_000 + view.getUint32(at) / 1_000_000);
    throw new LayoutError(`A timestamp of ${length} bytes.`);
  }

  #uint(size: number): number {
    const at = this.#skip(size);
    if (size === 1) return this.#bytes[at] as number;
    return size === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #take(length: number): Uint8Array {
    const start = this.#skip(length);
    return this.#bytes.subarray(start, this.#at);
  }

  /** Passes `count` bytes; answers where they begin. */
  #skip(count: number): number {
    const start = this.#at;
    if (count > this.#bytes.length - start) throw new LayoutError('The data is cut short.');
    this.#at += count;
    return start;
  }

  #enter(): void {
    if (++this.#depth > maxDepth) throw new LayoutError(`Nested deeper than ${maxDepth} levels.`);
  }
}

/** A number where that is exact. */
function exact(value: bigint): number | bigint {
  return BigInt(Number(value)) === value && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
