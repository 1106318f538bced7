/** Which glibc a binary needs. */
import { readFileSync } from 'node:fs';

/** The version of glibc that a binary needs, such as `2.38`: the highest among the symbol versions that it names. */
export function neededGlibc(file: string): string {
  const names = readFileSync(file, 'latin1').matchAll(/\bGLIBC_(\d+\.\d+)/g);
  const versions = new Set([...names].map(([, version = '']) => version));
  return [...versions].reduce((highest, version) => (isOlder(highest, version) ? version : highest));
}

/** Whether a version, such as `2.9`, is older than another, such as `2.38`. */
export function isOlder(version: string, other: string): boolean {
  return version.localeCompare(other, 'en', { numeric: true }) < 0;
}
