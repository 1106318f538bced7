/**
 * What a command writes: results to standard output, one line each, and everything else to standard error. Colors and
 * progress appear at a terminal only.
 */
import { once } from 'node:events';
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** A reader such as `head` may end before the command: the command then ends too, without an error. */
export function endWithReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      process.exit(0);
    });
  }
}

/** Writes a line of the result. Resolves when the reader has room for more. */
export async function writeLine(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
}

/** Writes a line for people. */
export function note(line: string): void {
  process.stderr.write(`${visible(line)}\n`);
}

/** A text in color, if `stream` is a terminal and NO_COLOR is not set. */
export function styled(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  const isColored = stream.isTTY && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb';
  return isColored ? styleText(style, text, { validateStream: false } as never) : text;
}

/** JSON without characters that control a terminal: they could change what it shows. */
export function jsonText(value: unknown): string {
  return (JSON.stringify(value) ?? 'null').replace(/[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, escaped);
}

/** A text of the broker, or of a proxy, without characters that control a terminal. Our own colors stay. */
export function visible(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it removes.
  return text.replace(/(?!\u001b\[\d+m)[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '');
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** 1,536 bytes are `1.5 KB`. */
export function sizeText(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`;
  if (bytes < 1_048_576) return `${(bytes / 1_024).toFixed(1)} KB`;
  return `${(bytes / 1_048_576).toFixed(1)} MB`;
}

/** `1 topic`, `2 topics`. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

/** A line at a terminal that is replaced again and again. */
export class Progress {
  readonly #isShown = process.stderr.isTTY === true;
  #shownAt = 0;

  /** Shows the line, at most ten times a second. */
  show(line: () => string): void {
    if (!this.#isShown || performance.now() - this.#shownAt < 100) return;
    this.#shownAt = performance.now();
    process.stderr.write(`\r\u001b[K${line()}`);
  }

  end(): void {
    if (this.#shownAt > 0) process.stderr.write('\r\u001b[K');
    this.#shownAt = 0;
  }
}
