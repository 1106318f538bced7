/** Files of this package that are not modules: its manifest, the Lua scripts, the script of the console. */
import { existsSync, readFileSync } from 'node:fs';

/** The nearest folder above this module that has a package.json: sources, build and tarball have different depths. */
function findFolder(url: string): URL {
  const folder = new URL('.', url);
  return existsSync(new URL('package.json', folder)) ? folder : findFolder(new URL('..', folder).href);
}

const folder = findFolder(import.meta.url);

/** `path` begins at the folder of package.json. */
export function readPackageFile(path: string): string {
  return readFileSync(new URL(path, folder), 'utf8');
}

/** The version in package.json. */
export const { version } = JSON.parse(readPackageFile('package.json')) as { readonly version: string };
