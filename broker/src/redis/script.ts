/** Lua scripts. Each file in broker/lua documents its inputs and its result. */
import { createHash } from 'node:crypto';
import { readPackageFile } from '../files/package-file.js';

export interface Script {
  readonly source: string;
  /** SHA-1 of the source: the name of the script in Redis. */
  readonly sha: string;
}

/** One call of a script. */
export interface ScriptCall {
  readonly script: Script;
  readonly keys: readonly string[];
  readonly args: readonly (string | number | Buffer)[];
}

export function readLua(file: string): string {
  return readPackageFile(`lua/${file}`);
}

export function scriptOf(source: string): Script {
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}
