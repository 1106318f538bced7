/**
 * MessagePack data as JSON text, for JSON subscribers. It goes from bytes to bytes without making a value in between, so
 * hostile data costs no more than its length. What JSON has no form for follows the JSON mapping of Protocol Buffers
 * (protobuf.dev/programming-guides/json): `bin` as base64, timestamps as RFC 3339, integers beyond 2^53 - 1 as
 * decimal strings.
 */
import { maxDataDepth } from './messages.js';
import type { Payload } from './payload.js';
import { LayoutError } from './reader.js';
import type { Writer } from './writer.js';

/**
 * Appends the payload as JSON text. Answers false, with `writer` as it was, where the bytes are not exactly one MessagePack
 * value, or hold something without a JSON form: an extension other than the timestamp, a timestamp outside the years 0 to
 * 9999, a map key that is neither a string nor an integer of at most 32 bits, text that is not UTF-8, nesting deeper
 * than {@link maxDataDepth}.
 */
export function writeAsJson(writer: Writer, payload: Payload): boolean {
  const before = writer.length;
  try {
    const transcoder = new Transcoder(payload, writer);
    transcoder.value(0);
    if (transcoder.isAtEnd) return true;
  } catch (error) {
    if (!(error instanceof LayoutError)) throw error;
  }
  writer.length = before;
  return false;
}

/** The years 0 to 9999, which RFC 3339 can write, in seconds since 1970. */
const firstSecond = -62_167_219_200n;
const lastSecond = 253_402_300_799n;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

class Transcoder {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #end: number;
  readonly #out: Writer;
  #at: number;

  constructor(payload: Payload, out: Writer) {
    this.#bytes = payload.bytes;
    this.#view = new DataView(payload.bytes.buffer, payload.bytes.byteOffset, payload.end);
    this.#at = payload.start;
    this.#end = payload.end;
    this.#out = out;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#end;
  }

  value(depth: number): void {
    const head = this.#uint(1);
    const out = this.#out;
    if (head < 0x80) out.ascii(String(head));
    else if (head < 0x90) this.#map(head & 0x0f, depth);
    else if (head < 0xa0) this.#array(head & 0x0f, depth);
    else if (head < 0xc0) this.#string(head & 0x1f);
    else if (head >= 0xe0) out.ascii(String(head - 0x100));
    else this.#marked(head, depth);
  }

  /** The values whose first byte (0xc0 to 0xdf) is only a mark. */
  #marked(head: number, depth: number): void {
    switch (head) {
      case 0xc0:
        return this.#out.ascii('null');
      case 0xc2:
        return this.#out.ascii('false');
      case 0xc3:
        return this.#out.ascii('true');
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#binary(this.#uint(1 << (head - 0xc4)));
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#extension(this.#uint(1 << (head - 0xc7)));
      case 0xca:
        return this.#float(this.#view.getFloat32(this.#take(4)));
      case 0xcb:
        return this.#float(this.#view.getFloat64(this.#take(8)));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#out.ascii(String(this.#uint(1 << (head - 0xcc))));
      case 0xcf:
        return this.#bigInteger(this.#view.getBigUint64(this.#take(8)));
      case 0xd0:
        return this.#out.ascii(String(this.#view.getInt8(this.#take(1))));
      case 0xd1:
        return this.#out.ascii(String(this.#view.getInt16(this.#take(2))));
      case 0xd2:
        return this.#out.ascii(String(this.#view.getInt32(this.#take(4))));
      case 0xd3:
        return this.#bigInteger(this.#view.getBigInt64(this.#take(8)));
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(1 << (head - 0xd4));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#string(this.#uint(1 << (head - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#uint(2 << (head - 0xdc)), depth);
      case 0xde:
      case 0xdf:
        return this.#map(this.#uint(2 << (head - 0xde)), depth);
      default:
        throw new LayoutError(`0x${head.toString(16)} begins no value.`);
    }
  }

  #array(count: number, depth: number): void {
    this.#deeper(depth);
    this.#out.byte(0x5b);
    for (let index = 0; index < count; index++) {
      if (index > 0) this.#out.byte(0x2c);
      this.value(depth + 1);
    }
    this.#out.byte(0x5d);
  }

  #map(count: number, depth: number): void {
    this.#deeper(depth);
    this.#out.byte(0x7b);
    for (let index = 0; index < count; index++) {
      if (index > 0) this.#out.byte(0x2c);
      this.#key();
      this.#out.byte(0x3a);
      this.value(depth + 1);
    }
    this.#out.byte(0x7d);
  }

  #key(): void {
    const head = this.#bytes[this.#at] as number;
    const isString = (head >= 0xa0 && head <= 0xbf) || (head >= 0xd9 && head <= 0xdb);
    if (isString) return this.value(0);
    const isInteger = head < 0x80 || head >= 0xe0 || (head >= 0xcc && head <= 0xce) || (head >= 0xd0 && head <= 0xd2);
    if (!isInteger) throw new LayoutError('A map key is neither a string nor an integer of at most 32 bits.');
    this.#out.byte(0x22);
    this.value(0);
    this.#out.byte(0x22);
  }

  #string(length: number): void {
    const start = this.#take(length);
    const bytes = this.#bytes;
    let isPlain = true;
    for (let at = start; at < this.#at; at++) {
      const byte = bytes[at] as number;
      if (byte < 0x20 || byte > 0x7e || byte === 0x22 || byte === 0x5c) {
        isPlain = false;
        break;
      }
    }
    if (isPlain) {
      this.#out.byte(0x22);
      this.#out.copy(bytes, start, this.#at);
      this.#out.byte(0x22);
      return;
    }
    let text: string;
    try {
      text = utf8.decode(bytes.subarray(start, this.#at));
    } catch {
      // A frame of invalid UTF-8 would make browsers close every JSON subscriber (RFC 6455 section 8.1).
      throw new LayoutError('Text is not UTF-8.');
    }
    this.#out.text(JSON.stringify(text));
  }

  #binary(length: number): void {
    const start = this.#take(length);
    this.#out.byte(0x22);
    this.#out.ascii(base64(this.#bytes.subarray(start, this.#at)));
    this.#out.byte(0x22);
  }

  #float(value: number): void {
    this.#out.ascii(Number.isFinite(value) ? String(value) : 'null');
  }

  #bigInteger(value: bigint): void {
    const isSafe = value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER;
    this.#out.ascii(isSafe ? String(value) : `"${value}"`);
  }

  /** The timestamp is extension -1 of the MessagePack specification, in 4, 8 or 12 bytes. */
  #extension(length: number): void {
    const type = this.#view.getInt8(this.#take(1));
    const start = this.#take(length);
    if (type !== -1) throw new LayoutError(`Extension ${type} has no JSON form.`);
    let seconds: bigint;
    let nanoseconds = 0;
    if (length === 4) {
      seconds = BigInt(this.#view.getUint32(start));
    } else if (length === 8) {
      const packed = this.#view.getBigUint64(start);
      nanoseconds = Number(packed >> 34n);
      seconds = packed & 0x3_ffff_ffffn;
    } else if (length === 12) {
      nanoseconds = this.#view.getUint32(start);
      seconds = this.#view.getBigInt64(start + 4);
    } else {
      throw new LayoutError(`A timestamp of ${length} bytes.`);
    }
    if (seconds < firstSecond || seconds > lastSecond || nanoseconds > 999_999_999) {
      throw new LayoutError('A timestamp out of range.');
    }
    const date = new Date(Number(seconds) * 1000);
    const fraction =
      nanoseconds === 0
        ? ''
        : `.${String(nanoseconds)
            .padStart(9, '0')
            .replace(/(?:000){1,2}$/, '')}`;
    this.#out.ascii(`"${date.toISOString().slice(0, -'.000Z'.length)}${fraction}Z"`);
  }

  #deeper(depth: number): void {
    if (depth >= maxDataDepth) throw new LayoutError(`Nested deeper than ${maxDataDepth} levels.`);
  }

  #uint(size: number): number {
    const at = this.#take(size);
    if (size === 1) return this.#view.getUint8(at);
    return size === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  /** Passes `count` bytes; answers where they begin. */
  #take(count: number): number {
    if (count > this.#end - this.#at) throw new LayoutError('The data is cut short.');
    const at = this.#at;
    this.#at += count;
    return at;
  }
}

function base64(bytes: Uint8Array): string {
  let binary = '';
  for (let at = 0; at < bytes.length; at += 0x2000) binary += String.fromCharCode(...bytes.subarray(at, at + 0x2000));
  return btoa(binary);
}
