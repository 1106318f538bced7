/** Programs that .ci/run installs. Tests of the deployment use them if they are installed. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

// Debian has servers in /usr/sbin, which is not on the PATH of every user.
const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin'];

/** The path of a program; null if it is not installed. */
export function findProgram(name: string): string | null {
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null;
}

/** Lists the missing programs, as the end of a test's name; empty if none are missing. */
export function missingPrograms(...names: readonly string[]): string {
  const missing = names.filter((name) => findProgram(name) === null);
  return missing.length === 0 ? '' : `. Not here: ${missing.join(', ')}.`;
}
