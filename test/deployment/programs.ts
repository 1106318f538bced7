/** Programs that .ci/run installs and tests of the deployment use where they are there. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

// Debian has servers in /usr/sbin, which is not on everybody's PATH.
const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin'];

/** The path of a program; null where it is not there. */
export function findProgram(name: string): string | null {
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null;
}

/** Says which of them are missing, as the end of a test's name; empty: none. */
export function missingPrograms(...names: readonly string[]): string {
  const missing = names.filter((name) => findProgram(name) === null);
  return missing.length === 0 ? '' : `. Not here: ${missing.join(', ')}.`;
}
