/** The Lua scripts that Redis runs for us; each file says what it takes and answers. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** A script as Redis knows it. */
export interface Script {
  readonly source: string;
  readonly sha: string;
}

const folder = new URL('../../lua/', import.meta.url);

/** What all of them know of streams stands before each. */
const shared = readFileSync(new URL('stream.lua', folder), 'utf8');

function load(file: string): Script {
  return scriptOf(shared + readFileSync(new URL(file, folder), 'utf8'));
}

function scriptOf(source: string): Script {
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

const publish = load('publish.lua');

/** The script that publishes, under a name of its own: scripts of different copies do the same, and Redis knows them apart. */
export function publishScript(copy: string): Script {
  return scriptOf(`-- ${copy}\n${publish.source}`);
}

export const scripts = {
  chooseCopy: load('choose-copy.lua'),
  read: load('read.lua'),
  readBack: load('read-back.lua'),
  positions: load('positions.lua'),
  restore: load('restore.lua'),
  restorePositions: load('restore-positions.lua'),
  verify: load('verify.lua'),
  prove: load('prove.lua'),
  recover: load('recover.lua'),
  heartbeat: load('heartbeat.lua'),
} as const satisfies Record<string, Script>;
