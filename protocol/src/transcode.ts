/**
 * MessagePack data as JSON text, for JSON subscribers. It converts bytes to bytes and creates no values in between, so
 * the cost of hostile data is limited by its length. Values without a JSON form follow the JSON mapping of Protocol
 * Buffers (protobuf.dev/programming-guides/json). `bin` becomes base64, timestamps RFC 3339, and integers beyond 2^53 -
 * 1 decimal strings.
 */

import type { JsonWriter } from './json-writer.js';
import { maxDataDepth } from './messages.js';
import type { Payload } from './payload.js';
import { LayoutError } from './reader.js';

/**
 * Appends the payload as JSON text. Returns false, with `writer` unchanged, if the bytes are not exactly one
 * MessagePack value, or if that value has no JSON form. These have none: extensions other than the timestamp;
 * timestamps outside the years 0 to 9999; map keys other than strings and 32-bit integers; text that is not UTF-8;
 * nesting deeper than {@link maxDataDepth}.
 */
export function writeAsJson(writer: JsonWriter, payload: Payload): boolean {
  const before = writer.length;
  try {
    const transcoder = new Transcoder(payload, writer);
    transcoder.value(0);
    if (transcoder.isAtEnd) return true;
  } catch (error) {
    if (error !== noForm) throw error;
  }
  writer.undo(before);
  return false;
}

/** The years 0 to 9999, which RFC 3339 can write, in seconds since 1970. */
const firstSecond = -62_167_219_200;
const lastSecond = 253_402_300_799;

const ascii = new TextEncoder();
const literals = { null: ascii.encode('null'), false: ascii.encode('false'), true: ascii.encode('true') };

/** Finding the shortest text of a float takes about as long as writing this many bytes of text. */
const floatWork = 64;

/** The only error here, created once: an error with its own stack trace takes longer than a thousand bytes of data. */
const noForm = new LayoutError('The data has no form in JSON.');

class Transcoder {
  readonly #payload: Payload;
  readonly #bytes: Uint8Array;
  readonly #end: number;
  readonly #out: JsonWriter;
  #at: number;
  #floats: DataView | null = null;

  constructor(payload: Payload, out: JsonWriter) {
    this.#payload = payload;
    this.#bytes = payload.bytes;
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
    if (head < 0x80) out.digits(head);
    else if (head < 0x90) this.#map(head & 0x0f, depth);
    else if (head < 0xa0) this.#array(head & 0x0f, depth);
    else if (head < 0xc0) this.#string(head & 0x1f);
    else if (head >= 0xe0) this.#integer(head - 0x100);
    else this.#marked(head, depth);
  }

  /** Values whose first byte (0xc0 to 0xdf) says only which type follows. */
  #marked(head: number, depth: number): void {
    switch (head) {
      case 0xc0:
        return this.#out.copy(literals.null);
      case 0xc2:
        return this.#out.copy(literals.false);
      case 0xc3:
        return this.#out.copy(literals.true);
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
        return this.#out.digits(this.#uint(1 << (head - 0xcc)));
      case 0xcf:
        return this.#longInteger(this.#uint(4), this.#uint(4), false);
      case 0xd0:
        return this.#integer((this.#uint(1) << 24) >> 24);
      case 0xd1:
        return this.#integer((this.#uint(2) << 16) >> 16);
      case 0xd2:
        return this.#integer(this.#uint(4) | 0);
      case 0xd3: {
        const high = this.#uint(4);
        const low = this.#uint(4);
        if (high < 0x8000_0000) return this.#longInteger(high, low, false);
        return this.#longInteger(low === 0 ? -high >>> 0 : ~high >>> 0, -low >>> 0, true);
      }
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
        throw noForm;
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
    if (!isInteger) throw noForm;
    this.#out.byte(0x22);
    this.value(0);
    this.#out.byte(0x22);
  }

  #string(length: number): void {
    const start = this.#take(length);
    // A frame of invalid UTF-8 would make browsers close every JSON subscriber (RFC 6455 section 8.1).
    if (!this.#out.jsonString(this.#bytes, start, this.#at)) throw noForm;
  }

  #binary(length: number): void {
    const start = this.#take(length);
    this.#out.byte(0x22);
    this.#out.base64(this.#bytes, start, this.#at);
    this.#out.byte(0x22);
  }

  #float(value: number): void {
    this.#out.extra += floatWork;
    if (Number.isFinite(value)) this.#out.ascii(String(value));
    else this.#out.copy(literals.null);
  }

  #integer(value: number): void {
    if (value < 0) this.#out.byte(0x2d);
    this.#out.digits(Math.abs(value));
  }

  /** An integer of 64 bits, as the two halves of its absolute value. */
  #longInteger(high: number, low: number, isNegative: boolean): void {
    const out = this.#out;
    const isSafe = high < 0x20_0000;
    if (!isSafe) out.byte(0x22);
    if (isNegative) out.byte(0x2d);
    if (isSafe) {
      out.digits(high * 0x1_0000_0000 + low);
      return;
    }
    // Divides by 10^9, 16 bits at a time. Every intermediate result is exact in a double, and BigInt would be slow.
    const billion = 1_000_000_000;
    const middle = (high % billion) * 0x1_0000 + (low >>> 16);
    const end = (middle % billion) * 0x1_0000 + (low & 0xffff);
    const upper = Math.floor(high / billion) * 0x1_0000 + Math.floor(middle / billion);
    out.digits(upper * 0x1_0000 + Math.floor(end / billion));
    out.digits(end % billion, 9);
    out.byte(0x22);
  }

  /** The timestamp is extension -1 of the MessagePack specification, in 4, 8 or 12 bytes. */
  #extension(length: number): void {
    const type = this.#uint(1);
    if (type !== 0xff) throw noForm;
    // Inexact for seconds beyond 2^53, but those are out of range anyway.
    let seconds: number;
    let nanoseconds = 0;
    if (length === 4) {
      seconds = this.#uint(4);
    } else if (length === 8) {
      const high = this.#uint(4);
      nanoseconds = high >>> 2;
      seconds = (high & 3) * 0x1_0000_0000 + this.#uint(4);
    } else if (length === 12) {
      nanoseconds = this.#uint(4);
      seconds = (this.#uint(4) | 0) * 0x1_0000_0000;
      seconds += this.#uint(4);
    } else {
      throw noForm;
    }
    if (seconds < firstSecond || seconds > lastSecond || nanoseconds > 999_999_999) throw noForm;
    const day = Math.floor(seconds / 86_400);
    this.#out.byte(0x22);
    this.#date(day);
    this.#timeOfDay(seconds - day * 86_400);
    if (nanoseconds > 0) {
      this.#out.byte(0x2e);
      if (nanoseconds % 1_000_000 === 0) this.#out.digits(nanoseconds / 1_000_000, 3);
      else if (nanoseconds % 1_000 === 0) this.#out.digits(nanoseconds / 1_000, 6);
      else this.#out.digits(nanoseconds, 9);
    }
    this.#out.byte(0x5a);
    this.#out.byte(0x22);
  }

  /** `day`: since 1970. All divisions are of small integers, which are fast. */
  #date(day: number): void {
    // Counts days from 1 March of the year -400. A year that begins in March has its leap day at the end.
    const sinceMarch = (day + 719_468 + 146_097) | 0;
    const era = (sinceMarch / 146_097) | 0;
    const dayOfEra = (sinceMarch - era * 146_097) | 0;
    const leapDays = ((dayOfEra / 1_460) | 0) - ((dayOfEra / 36_524) | 0) + ((dayOfEra / 146_096) | 0);
    const yearOfEra = ((dayOfEra - leapDays) / 365) | 0;
    const dayOfYear = dayOfEra - 365 * yearOfEra - (yearOfEra >> 2) + ((yearOfEra / 100) | 0);
    const monthFromMarch = ((5 * dayOfYear + 2) / 153) | 0;
    const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
    const year = yearOfEra + (era - 1) * 400 + (month <= 2 ? 1 : 0);
    this.#pair((year / 100) | 0);
    this.#pair(year % 100);
    this.#out.byte(0x2d);
    this.#pair(month);
    this.#out.byte(0x2d);
    this.#pair(dayOfYear - (((153 * monthFromMarch + 2) / 5) | 0) + 1);
  }

  #timeOfDay(second: number): void {
    const minute = (second / 60) | 0;
    this.#out.byte(0x54);
    this.#pair((minute / 60) | 0);
    this.#out.byte(0x3a);
    this.#pair(minute % 60);
    this.#out.byte(0x3a);
    this.#pair(second - minute * 60);
  }

  /** A number below 100 in two digits. */
  #pair(value: number): void {
    const tens = (value / 10) | 0;
    this.#out.byte(0x30 + tens);
    this.#out.byte(0x30 + value - tens * 10);
  }

  #deeper(depth: number): void {
    if (depth >= maxDataDepth) throw noForm;
  }

  #uint(size: number): number {
    const bytes = this.#bytes;
    const at = this.#take(size);
    if (size === 1) return bytes[at] as number;
    const high = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
    if (size === 2) return high;
    return ((high << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)) >>> 0;
  }

  get #view(): DataView {
    const { bytes, end } = this.#payload;
    this.#floats ??= new DataView(bytes.buffer, bytes.byteOffset, end);
    return this.#floats;
  }

  /** Skips `count` bytes. Returns the place where they begin. */
  #take(count: number): number {
    if (count > this.#end - this.#at) throw noForm;
    const at = this.#at;
    this.#at += count;
    return at;
  }
}
