/** Servers that are installed programs: finds them on this machine, and runs them with a temporary configuration. */
import { mkdtempSync, rmSync } from 'node:fs';
import { access, constants, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Child } from '@fanfare/local-cluster';
import type { ServerProcess } from './node-deployment.js';

const startDeadlineMs = 60_000;
const pollIntervalMs = 10;

export interface ProgramOptions {
  /** The name of its command. */
  readonly name: string;
  /** The content of its configuration file, which has its own folder. */
  configuration(folder: string): string;
  args(configurationFile: string): readonly string[];
  /** Where clients connect. */
  readonly port: number;
}

/** Null if it is not installed. Daemons are in folders that the PATH of a user may lack. */
export async function findProgram(name: string): Promise<string | null> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin'];
  for (const folder of folders) {
    const path = join(folder, name);
    if (folder !== '' && (await isAccessible(path, constants.X_OK))) return path;
  }
  return null;
}

/** Why servers of this name cannot be started; null if they can. */
export async function missingProgram(name: string): Promise<string | null> {
  return (await findProgram(name)) === null ? notInstalled(name) : null;
}

export function notInstalled(name: string): string {
  return `${name} is not installed; run loadtest/install-peers.sh.`;
}

export async function isAccessible(path: string, mode = constants.R_OK): Promise<boolean> {
  return await access(path, mode).then(
    () => true,
    () => false,
  );
}

/** Folders of running programs. They are removed even if this process exits first. */
const folders = new Set<string>();

process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Resolves once the program listens. */
export async function startProgram({ name, configuration, args, port }: ProgramOptions): Promise<ServerProcess> {
  const path = await findProgram(name);
  if (path === null) throw new Error(notInstalled(name));
  // Do both in one turn of the event loop: if the process exited in between, the folder would remain.
  const folder = mkdtempSync(join(tmpdir(), `fanfare-${name}-`));
  folders.add(folder);
  const file = join(folder, `${name}.conf`);
  await writeFile(file, configuration(folder));
  const child = new Child({ command: [path, ...args(file)], cwd: folder });
  const dispose = async (): Promise<void> => {
    await child.kill();
    await rm(folder, { recursive: true, force: true });
    folders.delete(folder);
  };
  const deadline = performance.now() + startDeadlineMs;
  while (!(await doesListen(port))) {
    if (child.hasExited || performance.now() > deadline) {
      await dispose();
      throw new Error(child.explain(`${name} does not listen on port ${port}.`));
    }
    await delay(pollIntervalMs);
  }
  return { pid: child.pid, port, [Symbol.asyncDispose]: dispose };
}

async function doesListen(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const finish = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('connect', () => finish(true));
    socket.on('error', () => finish(false));
  });
}
