/** What is fuzzed: something that reads what others wrote, and what must hold for any bytes that it is given. */

export interface Target {
  readonly about: string;
  /** Inputs to begin with, beside the corpus. */
  readonly seeds: readonly Uint8Array[];
  /** What mutations put in: words of the format. */
  readonly words: readonly (string | Uint8Array)[];
  /** Files whose coverage leads, as the ends of their URLs without the extension: `protocol/dist/reader`. */
  readonly files: readonly string[];
  /** Most bytes of an input. */
  readonly maxBytes: number;
  /** How many times as much as others it may cost (limits.ts). */
  readonly costs?: number;
  /** Throws where something does not hold. */
  run(input: Uint8Array): void | Promise<void>;
}

/** Something does not hold. */
export class Finding extends Error {
  override readonly name = 'Finding';
}

export function hold(condition: boolean, otherwise: () => string): asserts condition {
  if (!condition) throw new Finding(otherwise());
}

/** Longest sentence that may be made of hostile input: it goes to a log or over the wire. */
const maxSentence = 2_000;

/** Whether it is one line, ended, and no longer than is sensible. */
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

/** Inputs that are text: any byte becomes some text. */
export function textOf(input: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(input);
}

/** Texts as inputs. */
export function texts(...given: readonly string[]): Uint8Array[] {
  return given.map((text) => new TextEncoder().encode(text));
}
