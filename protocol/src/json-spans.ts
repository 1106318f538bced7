/** Finds the text of `data` in a JSON frame, so that subscribers can get it unchanged. */

/** The value in `frame[start, end)`, and how deep arrays and objects nest in it (0 for a number). */
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
 * For each command of the frame (one object, or the elements of an array) the span of its `data`, or null. The frame
 * must be valid JSON: `JSON.parse` has seen it. Of two members named `data` the last counts, as for `JSON.parse`.
 * `start`: where the object or array begins.
 */
export function dataSpans(frame: Uint8Array, start = 0): (Span | null)[] {
  let at = afterSpace(frame, start);
  if (frame[at] !== openBracket) return [dataOf(frame, at).span];
  const spans: (Span | null)[] = [];
  at = afterSpace(frame, at + 1);
  while (frame[at] !== closeBracket) {
    const { span, end } = dataOf(frame, at);
    spans.push(span);
    at = afterSeparator(frame, end);
  }
  return spans;
}

/** The span of a text that is one JSON value, without the space around it. The text must be valid JSON. */
export function valueSpan(text: Uint8Array): Span {
  return afterValue(text, afterSpace(text, 0));
}

/**
 * For each element of the array `publications` of an object, the span of its `data`, or null. The text must be valid
 * JSON, an object with such an array. Of two members of one name the last counts.
 */
export function batchSpans(text: Uint8Array): (Span | null)[] {
  let spans: (Span | null)[] = [];
  let at = afterSpace(text, afterSpace(text, 0) + 1);
  while (text[at] !== closeBrace) {
    const nameEnd = afterString(text, at);
    const value = afterSpace(text, afterSpace(text, nameEnd) + 1);
    if (isNamed(text, at, nameEnd, 'publications')) spans = dataSpans(text, value);
    at = afterSeparator(text, afterValue(text, value).end);
  }
  return spans;
}

// Each function takes the frame and the start of an element, and returns its end.

/** A value, and the span of its member `data` if it is an object with one. */
function dataOf(bytes: Uint8Array, start: number): { readonly span: Span | null; readonly end: number } {
  if (bytes[start] !== openBrace) return { span: null, end: afterValue(bytes, start).end };
  let span: Span | null = null;
  let at = afterSpace(bytes, start + 1);
  while (bytes[at] !== closeBrace) {
    const nameEnd = afterString(bytes, at);
    const colon = afterSpace(bytes, nameEnd);
    const value = afterValue(bytes, afterSpace(bytes, colon + 1));
    if (isNamed(bytes, at, nameEnd, 'data')) span = value;
    at = afterSeparator(bytes, value.end);
  }
  return { span, end: at + 1 };
}

/** Whether the name in `bytes[start, end)`, with its quotes, is `name`, which is ASCII. */
function isNamed(bytes: Uint8Array, start: number, end: number, name: string): boolean {
  const length = end - start - 2;
  if (length === name.length) {
    for (let index = 0; index < length; index++) if (bytes[start + 1 + index] !== name.charCodeAt(index)) return false;
    return true;
  }
  // It may be written with escapes: "d\u0061ta". Each takes six bytes.
  if (length < name.length || length > name.length * 6) return false;
  const text = bytes.subarray(start, end);
  return text.includes(backslash) && JSON.parse(String.fromCharCode(...text)) === name;
}

/** A value of any kind, with how deep it nests. */
function afterValue(bytes: Uint8Array, start: number): Span {
  let at = start;
  let depth = 0;
  let deepest = 0;
  do {
    const byte = bytes[at];
    if (byte === quote) {
      at = afterString(bytes, at);
    } else if (byte === openBrace || byte === openBracket) {
      depth++;
      if (depth > deepest) deepest = depth;
      at++;
    } else if (byte === closeBrace || byte === closeBracket) {
      depth--;
      at++;
    } else if (depth > 0) {
      at++;
    } else {
      at = afterScalar(bytes, at);
    }
  } while (depth > 0);
  return { start, end: at, depth: deepest };
}

function afterString(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  for (let byte = bytes[at]; byte !== quote; byte = bytes[at]) at += byte === backslash ? 2 : 1;
  return at + 1;
}

/** A number, true, false or null. */
function afterScalar(bytes: Uint8Array, start: number): number {
  let at = start;
  while (!isDelimiter(bytes[at])) at++;
  return at;
}

/** What ends a scalar; undefined is the end of the frame. */
function isDelimiter(byte: number | undefined): boolean {
  return byte === undefined || byte <= 0x20 || byte === comma || byte === closeBrace || byte === closeBracket;
}

function afterSpace(bytes: Uint8Array, start: number): number {
  let at = start;
  // Space, tab, line feed and carriage return (RFC 8259 section 2) are all that valid JSON has below 0x21.
  while ((bytes[at] as number) <= 0x20) at++;
  return at;
}

/** A comma, if there is one, and the space around it. */
function afterSeparator(bytes: Uint8Array, start: number): number {
  const at = afterSpace(bytes, start);
  return bytes[at] === comma ? afterSpace(bytes, at + 1) : at;
}
