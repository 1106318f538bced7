/** What a command reads: data of publications, from an argument or from standard input. */
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { UsageFailure } from './failure.js';

/** All of standard input. */
export function readInput(): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write('Reading from the terminal. Ctrl+D ends the input.\n');
  return text(process.stdin);
}

/** Lines of standard input that are not empty, with their numbers. */
export async function* readLines(): AsyncGenerator<readonly [number: number, line: string]> {
  let number = 0;
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
    number++;
    if (line.trim() !== '') yield [number, line];
  }
}

/** The data of a publication. `place`: how an error names the text. */
export function parseData(json: string, place: string): unknown {
  let data: unknown;
  try {
    data = JSON.parse(json);
  } catch {
    throw new UsageFailure(
      `${place} is not JSON: ${shown(json)}. Quote it for the shell, as in '{"text":"hello"}', or publish it as a text with --text.`,
    );
  }
  const tooLarge = firstTooLarge(data);
  if (tooLarge !== null) {
    throw new UsageFailure(
      `${place} has the number ${tooLarge}, which does not fit into a number of JavaScript. Send it as a string.`,
    );
  }
  return data;
}

/** The first integer that JSON.parse may have rounded; null if there is none. */
function firstTooLarge(data: unknown): number | null {
  if (typeof data === 'number') return Number.isInteger(data) && !Number.isSafeInteger(data) ? data : null;
  if (typeof data !== 'object' || data === null) return null;
  for (const value of Object.values(data)) {
    const found = firstTooLarge(value);
    if (found !== null) return found;
  }
  return null;
}

function shown(json: string): string {
  const line = json.trim().split('\n', 1)[0] ?? '';
  return JSON.stringify(line.length > 60 ? `${line.slice(0, 60)}…` : line);
}
