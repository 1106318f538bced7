/** Finds the text of `data` in a JSON frame, so that it can go on as it was written. */

/** The value that stands in `frame[start, end)`, and how deep arrays and objects nest in it (a number: 0). */
export interface Span {
  readonly start: number;
  readonly end: number;
  readonly depth: number;
}

const quote = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const comma = 0x2c;

/**
 * For each command of the frame (one object, or the elements of an array) where its `data` stands, or null. The frame must
 * be valid JSON: `JSON.parse` has seen it. Of two members named `data` the last counts, as for `JSON.parse`.
 */
export function dataSpans(frame: Uint8Array): (Span | null)[] {
  const scanner = new Scanner(frame);
  scanner.space();
  if (scanner.byte() !== openBracket) return [scanner.dataOfValue()];
  const spans: (Span | null)[] = [];
  scanner.at++;
  for (scanner.space(); scanner.byte() !== closeBracket; scanner.separator()) spans.push(scanner.dataOfValue());
  return spans;
}

class Scanner {
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  byte(): number {
    return this.#bytes[this.at] as number;
  }

  space(): void {
    // Space, tab, line feed and carriage return (RFC 8259 section 2) are all that valid JSON has below 0x21.
    while (this.byte() <= 0x20) this.at++;
  }

  /** Passes a comma, if there is one, and the space around it. */
  separator(): void {
    this.space();
    if (this.byte() === comma) this.at++;
    this.space();
  }

  /** Passes a value; answers the span of its member `data` if it is an object with one. */
  dataOfValue(): Span | null {
    if (this.byte() !== openBrace) {
      this.#value();
      return null;
    }
    let span: Span | null = null;
    this.at++;
    for (this.space(); this.byte() !== closeBrace; this.separator()) {
      const nameStart = this.at;
      this.#string();
      const isData = this.#isData(nameStart, this.at);
      this.space();
      this.at++; // the colon
      this.space();
      const start = this.at;
      const depth = this.#value();
      if (isData) span = { start, end: this.at, depth };
    }
    this.at++;
    return span;
  }

  #isData(start: number, end: number): boolean {
    const name = String.fromCharCode(...this.#bytes.subarray(start, Math.min(end, start + 26)));
    return name === '"data"' || (name.includes('\\') && end - start <= 26 && JSON.parse(name) === 'data');
  }

  /** Passes a value of any kind; answers how deep it nests. */
  #value(): number {
    let depth = 0;
    let deepest = 0;
    do {
      const byte = this.byte();
      if (byte === quote) {
        this.#string();
      } else if (byte === openBrace || byte === openBracket) {
        depth++;
        if (depth > deepest) deepest = depth;
        this.at++;
      } else if (byte === closeBrace || byte === closeBracket) {
        depth--;
        this.at++;
      } else if (depth > 0) {
        this.at++;
      } else {
        this.#scalar();
      }
    } while (depth > 0);
    return deepest;
  }

  #string(): void {
    const bytes = this.#bytes;
    let at = this.at + 1;
    for (let byte = bytes[at]; byte !== quote; byte = bytes[at]) at += byte === backslash ? 2 : 1;
    this.at = at + 1;
  }

  /** Passes a number, true, false or null. */
  #scalar(): void {
    for (
      let byte = this.byte();
      byte > 0x20 && byte !== comma && byte !== closeBrace && byte !== closeBracket;
      byte = this.byte()
    ) {
      this.at++;
    }
  }
}
