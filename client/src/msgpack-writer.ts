/** Writes values as MessagePack: all that JSON.stringify accepts, and also bytes, dates, maps and 64-bit integers. */
import { kindOf, Writer } from '@fanfare/protocol';
import { maxDepth } from './msgpack-reader.js';

const scratch = new DataView(new ArrayBuffer(12));
const scratchBytes = new Uint8Array(scratch.buffer);

export class MsgpackWriter extends Writer {
  #depth = 0;

  override clear(): void {
    super.clear();
    this.#depth = 0;
  }

  /**
   * Throws a `RangeError` for a bigint beyond 64 bits, and for data that nests too deep or contains itself. Throws a
   * `TypeError` for a value that would be sent as an empty object, such as a promise.
   */
  value(value: unknown): void {
    switch (typeof value) {
      case 'string':
        return this.str(value);
      case 'number':
        return this.#number(value);
      case 'boolean':
        return this.boolean(value);
      case 'bigint':
        return this.#bigint(value);
      case 'object':
        return value === null ? this.nil() : this.#object(value);
      default:
        // As in JSON: an element that cannot be sent becomes null.
        return this.nil();
    }
  }

  #object(value: object): void {
    if (++this.#depth > maxDepth)
      throw new RangeError(`The data contains itself or is nested deeper than ${maxDepth} levels.`);
    if (Array.isArray(value)) {
      this.arrayHeader(value.length);
      for (const element of value) this.value(element);
    } else if (
      'toJSON' in value &&
      typeof value.toJSON === 'function' &&
      !(value instanceof Date || ArrayBuffer.isView(value))
    ) {
      this.value(value.toJSON());
    } else if (ArrayBuffer.isView(value)) {
      this.bin(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    } else if (value instanceof ArrayBuffer) {
      this.bin(new Uint8Array(value));
    } else if (value instanceof Date) {
      this.#timestamp(value.getTime());
    } else if (value instanceof Set) {
      this.#object([...value]);
    } else if (value instanceof Map) {
      this.#mapHeader(value.size);
      for (const [key, field] of value) {
        this.value(key);
        this.value(field);
      }
    } else {
      this.#fields(value as Record<string, unknown>);
    }
    this.#depth--;
  }

  /** As in JSON, fields that cannot be sent are left out, so the header is written last. Each getter is asked once. */
  #fields(value: Record<string, unknown>): void {
    const keys = Object.keys(value);
    // Built-in objects keep their content in internal slots: a promise would become {}.
    if (keys.length === 0 && kindOf(value) !== 'Object') {
      throw new TypeError(`MessagePack cannot carry ${kindOf(value)}. Convert it first.`);
    }
    const isShort = keys.length < 16;
    const start = this.length;
    this.#mapHeader(isShort ? 0 : 16);
    let count = 0;
    for (const key of keys) {
      const field = value[key];
      if (!isSent(field)) continue;
      count++;
      this.str(key);
      this.value(field);
    }
    const end = this.length;
    this.length = start;
    if (isShort) this.byte(0x80 | count);
    else this.#longMapHeader(count);
    this.length = end;
  }

  #mapHeader(count: number): void {
    if (count < 16) this.byte(0x80 | count);
    else this.#longMapHeader(count);
  }

  #longMapHeader(count: number): void {
    scratch.setUint32(0, count);
    this.#put(0xdf, 4);
  }

  #number(value: number): void {
    if (!Number.isSafeInteger(value)) {
      scratch.setFloat64(0, value);
      this.#put(0xcb, 8);
    } else if (value >= 0) {
      this.uint(value);
    } else if (value >= -0x20) {
      this.byte(0x100 + value);
    } else if (value >= -0x8000_0000) {
      scratch.setInt32(0, value);
      this.#put(0xd2, 4);
    } else {
      this.#bigint(BigInt(value));
    }
  }

  #bigint(value: bigint): void {
    if (BigInt.asIntN(64, value) === value) {
      scratch.setBigInt64(0, value);
      this.#put(0xd3, 8);
    } else if (BigInt.asUintN(64, value) === value) {
      scratch.setBigUint64(0, value);
      this.#put(0xcf, 8);
    } else {
      throw new RangeError(`${value} does not fit 64 bits.`);
    }
  }

  /** Extension -1 of the specification. */
  #timestamp(timeMs: number): void {
    if (Number.isNaN(timeMs)) return this.nil();
    const seconds = Math.floor(timeMs / 1_000);
    const nanoseconds = (timeMs - seconds * 1_000) * 1_000_000;
    if (nanoseconds === 0 && seconds >= 0 && seconds < 0x1_0000_0000) {
      scratch.setUint32(0, seconds);
      this.byte(0xd6);
      this.#put(0xff, 4);
    } else {
      scratch.setUint32(0, nanoseconds);
      scratch.setBigInt64(4, BigInt(seconds));
      this.byte(0xc7);
      this.byte(12);
      this.#put(0xff, 12);
    }
  }

  #put(head: number, size: number): void {
    this.byte(head);
    this.copy(scratchBytes, 0, size);
  }
}

function isSent(field: unknown): boolean {
  return field !== undefined && typeof field !== 'function' && typeof field !== 'symbol';
}
