/**
 * The commands that Redis runs, read from a socket of our own. On a busy server, `monitor()` of ioredis throws if the
 * first command arrives with the answer to MONITOR (findings/ioredis-monitor-busy.sh).
 */
import { createConnection } from 'node:net';
import { createInterface } from 'node:readline';
import { within } from './wait.js';

export type SeenCommand = readonly [name: string, ...args: string[]];

/** A command after the time, the database and the client, such as `1795962274.078506 [0 lua] "GET" "key"`. */
const monitored = /^\+[\d.]+ \[\d+ \S+\] (.*)$/;

/**
 * Commands that Redis receives from now on, from any client: each name in lower case, and its arguments as MONITOR
 * quotes them.
 */
export async function monitorRedis({ port }: { readonly port: number }) {
  const commands: SeenCommand[] = [];
  const socket = createConnection({ port, host: '127.0.0.1' });
  const lines = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY });
  const answered = new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    lines.on('line', (line) => {
      if (line === '+OK') return resolve();
      const [, command = ''] = monitored.exec(line) ?? [];
      const [name = '', ...args] = Array.from(
        command.matchAll(/"((?:[^"\\]|\\.)*)"/g),
        ([, argument = '']) => argument,
      );
      commands.push([name.toLowerCase(), ...args]);
    });
  });
  socket.write('MONITOR\r\n');
  await within('Redis answers MONITOR', answered);
  return {
    commands: commands as readonly SeenCommand[],
    [Symbol.dispose]: () => {
      socket.destroy();
    },
  };
}
