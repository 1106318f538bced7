/** The Lua scripts that Redis runs for us; each file documents its inputs and its answer. */
import { readLua, type Script, type ScriptCall, scriptOf } from '../redis/redis.js';

/** Functions that all scripts share. The node puts these files in front of each script but publish.lua. */
const messageIds = readLua('message-ids.lua');
const shared = messageIds + readLua('stream.lua');

function load(file: string): Script {
  return scriptOf(shared + readLua(file));
}

/** Its first part does what most calls need, without the functions of stream.lua. */
const publish = scriptOf(messageIds + readLua('publish.lua') + readLua('stream.lua') + readLua('publish-rest.lua'));

/**
 * The script that publishes, as one of its copies: all copies do the same, but Redis can tell them apart
 * (publish-script.ts).
 */
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
  map: load('shard-map.lua'),
  report: load('report-map.lua'),
} as const satisfies Record<string, Script>;

function loadOfShards(file: string): Script {
  return scriptOf(readLua('shards/lock.lua') + readLua(file));
}

/** The scripts of `fanfare shards`. */
export const shardScripts = {
  fence: loadOfShards('shards/fence.lua'),
  accept: loadOfShards('shards/accept.lua'),
  run: loadOfShards('shards/run.lua'),
} as const satisfies Record<string, Script>;

/** The connection, as {@link callScript} needs it. */
export interface CallingLink {
  evaluate(calls: readonly ScriptCall[]): Promise<readonly unknown[]>;
  load(scripts: readonly Script[]): Promise<void>;
}

/**
 * Calls one script. Resolves, never rejects, with its answer or an error. If Redis has lost the script (SCRIPT FLUSH),
 * loads it and calls it again. Not for publications: that would change their order (publish-script.ts).
 */
export async function callScript(link: CallingLink, call: ScriptCall): Promise<unknown> {
  const [answer] = await link.evaluate([call]);
  if (!(answer instanceof Error && isUnknownScript(answer))) return answer;
  try {
    await link.load([call.script]);
    return (await link.evaluate([call]))[0];
  } catch (error) {
    return error;
  }
}

/** Whether Redis has refused a call because it does not have the script, and so has done nothing. */
export function isUnknownScript({ message }: Error): boolean {
  return message.startsWith('NOSCRIPT');
}
