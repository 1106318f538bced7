/** The corpus: one file for each target, one line for each input, as a JSON string with one character for each byte. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

function corpusFile(target: string): string {
  return fileURLToPath(new URL(`../corpus/${target}.txt`, import.meta.url));
}

export function readCorpus(target: string): Uint8Array[] {
  const file = corpusFile(target);
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Uint8Array.from(Buffer.from(JSON.parse(line) as string, 'latin1')));
}

/** The inputs are sorted, so that a commit shows the new ones. */
export function writeCorpus(target: string, inputs: readonly Uint8Array[]): void {
  const lines = new Set(inputs.map(lineOf));
  writeFileSync(
    corpusFile(target),
    [...lines]
      .toSorted()
      .map((line) => `${line}\n`)
      .join(''),
  );
}

/** In ASCII. */
function lineOf(input: Uint8Array): string {
  const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(Buffer.from(input).toString('latin1')).replace(/[\x7f-\xff]/g, escaped);
}
