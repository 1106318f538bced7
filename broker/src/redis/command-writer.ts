/** Writes commands for Redis (RESP2) into one growing buffer. */
import { isAscii, Writer } from '@fanfare/protocol';

/** A part of a command. Text is written as UTF-8, a number in decimal. */
export type Argument = string | number | Uint8Array;

export class CommandWriter extends Writer {
  constructor() {
    super(16_384);
  }

  /**
   * Begins a command of `parts` parts: the name of the command, then its arguments. Then write exactly that many parts.
   */
  command(parts: number): void {
    this.#line(star, parts);
  }

  /** A part that is known to be ASCII. */
  asciiPart(text: string): void {
    this.partOf(text.length);
    this.ascii(text);
    this.endPart();
  }

  numberPart(value: number): void {
    if (!(Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff)) return this.asciiPart(String(value));
    this.partOf(digitsOf(value));
    this.#digits(value);
    this.endPart();
  }

  textPart(text: string): void {
    if (isAscii(text)) this.asciiPart(text);
    else this.bytesPart(Buffer.from(text));
  }

  bytesPart(bytes: Uint8Array): void {
    this.partOf(bytes.length);
    this.copy(bytes);
    this.endPart();
  }

  part(argument: Argument): void {
    if (typeof argument === 'string') this.textPart(argument);
    else if (typeof argument === 'number') this.numberPart(argument);
    else this.bytesPart(argument);
  }

  /** Begins a part of `length` bytes. Write them with the methods of {@link Writer}, then call {@link endPart}. */
  partOf(length: number): void {
    this.#line(dollar, length);
  }

  endPart(): void {
    this.byte(carriageReturn);
    this.byte(lineFeed);
  }

  /** Bytes of memory that the buffer takes. */
  get capacity(): number {
    return this.reserve(0).length;
  }

  /** A view of everything that was written. The next command after {@link clear} overwrites it. */
  bytes(): Buffer {
    return Buffer.from(this.reserve(0).buffer, 0, this.length);
  }

  #line(kind: number, value: number): void {
    this.byte(kind);
    this.#digits(value);
    this.endPart();
  }

  /** A non-negative integer below 2^32. */
  #digits(value: number): void {
    const count = digitsOf(value);
    const bytes = this.reserve(count);
    let left = value;
    for (let at = this.length + count - 1; at >= this.length; at--) {
      bytes[at] = zero + (left % 10);
      left = Math.floor(left / 10);
    }
    this.length += count;
  }
}

const star = 0x2a;
const dollar = 0x24;
const zero = 0x30;
const carriageReturn = 0x0d;
const lineFeed = 0x0a;

function digitsOf(value: number): number {
  let count = 1;
  for (let limit = 10; value >= limit; limit *= 10) count++;
  return count;
}
