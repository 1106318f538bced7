/** A fuzz target: code that parses untrusted input, and what must be true for any bytes. */

export interface Target {
  readonly about: string;
  /** Initial inputs, in addition to the corpus. */
  readonly seeds: readonly Uint8Array[];
  /** Words of the format that mutations insert. */
  readonly words: readonly (string | Uint8Array)[];
  /**
   * Files whose coverage guides the fuzzer, as the ends of their URLs without the extension: `protocol/dist/reader`.
   */
  readonly files: readonly string[];
  /** The maximum length of an input. */
  readonly maxBytes: number;
  /** Multiplies the limits of limits.ts for this target. */
  readonly costs?: number;
  /** Throws if something is wrong. */
  run(input: Uint8Array): void | Promise<void>;
}

/** A check failed. */
export class Finding extends Error {
  override readonly name = 'Finding';
}

export function hold(condition: boolean, otherwise: () => string): asserts condition {
  if (!condition) throw new Finding(otherwise());
}

/** The longest sentence that hostile input may produce: it goes to a log or over the wire. */
const maxSentence = 2_000;

/** Checks that it is one line, has a full stop, and is not too long. */
export function holdSentence(text: string): void {
  hold(text.length <= maxSentence, () => `A sentence of ${text.length} characters: ${text.slice(0, 200)}…`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for.
  hold(!/[\x00-\x1f]/.test(text), () => `A sentence with control characters: ${JSON.stringify(text)}`);
  hold(/[.…?]$/.test(text), () => `A sentence without an end: ${JSON.stringify(text)}`);
}

export function holdEqual(left: unknown, right: unknown, what: string): void {
  const [a, b] = [JSON.stringify(left), JSON.stringify(right)];
  hold(a === b, () => `${what}: ${a?.slice(0, 300)} and ${b?.slice(0, 300)}`);
}

/** Converts any bytes to text, for targets whose input is text. */
export function textOf(input: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(input);
}

/** Texts as inputs. */
export function texts(...given: readonly string[]): Uint8Array[] {
  return given.map((text) => new TextEncoder().encode(text));
}

/** Words without spaces, written in one text. */
export function list(words: string): string[] {
  return words.split(' ');
}
