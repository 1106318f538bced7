/** The Lua scripts that Redis runs for us; each file says what it takes and answers. */
import { readLua, type Script, scriptOf } from '../redis/script.js';

export type { Script };

/** What all of them know of streams stands before each. */
const shared = readLua('stream.lua');

function load(file: string): Script {
  return scriptOf(shared + readLua(file));
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
