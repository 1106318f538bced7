/**
 * The commands that Redis runs, read from a socket of our own. On a busy server, `monitor()` of ioredis throws if the
 * first command arrives with the answer to MONITOR (findings/ioredis-monitor-busy.sh).
 */
import { createConnection } from 'node:net';
import { createInterface } from 'node:readline';
import { within } from './wait.js';

export type SeenCommand = readonly [name: string, ...args: string[]];

/** A call of a script. */
interface SeenScriptCall {
  readonly sha: string;
  /** The keys that the call names. */
  readonly keys: readonly string[];
  /** What the script did. */
  readonly commands: SeenCommand[];
}

/** A command after the time, the database and the client, such as `1795962274.078506 [0 lua] "GET" "key"`. */
const monitored = /^\+[\d.]+ \[\d+ (\S+)\] (.*)$/;

/**
 * Commands that Redis receives from now on, from any client and from scripts: each name in lower case, and its arguments
 * as MONITOR quotes them. `scriptCalls`: the calls with EVALSHA among them.
 */
export async function monitorRedis({ port }: { readonly port: number }) {
  const commands: SeenCommand[] = [];
  const scriptCalls: SeenScriptCall[] = [];
  const socket = createConnection({ port, host: '127.0.0.1' });
  const lines = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY });
  const answered = new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    lines.on('line', (line) => {
      if (line === '+OK') return resolve();
      const [, client, command = ''] = monitored.exec(line) ?? [];
      const [name = '', ...args] = Array.from(
        command.matchAll(/"((?:[^"\\]|\\.)*)"/g),
        ([, argument = '']) => argument,
      );
      const seen: SeenCommand = [name.toLowerCase(), ...args];
      commands.push(seen);
      const [sha = '', count, ...rest] = args;
      if (seen[0] === 'evalsha') scriptCalls.push({ sha, keys: rest.slice(0, Number(count)), commands: [] });
      else if (client === 'lua') scriptCalls.at(-1)?.commands.push(seen);
    });
  });
  socket.write('MONITOR\r\n');
  await within('Redis answers MONITOR', answered);
  return {
    commands: commands as readonly SeenCommand[],
    scriptCalls: scriptCalls as readonly SeenScriptCall[],
    [Symbol.dispose]: () => {
      socket.destroy();
    },
  };
}
