/** Lua scripts. Each file in broker/lua documents its inputs and its result. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

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

const folder = new URL('../../lua/', import.meta.url);

export function readLua(file: string): string {
  return readFileSync(new URL(file, folder), 'utf8');
}

export function scriptOf(source: string): Script {
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}
