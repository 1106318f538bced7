/** Servers that are installed programs: finds them on this machine, and runs them with a temporary configuration. */
import { writeFileSync } from 'node:fs';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { Program } from '@fanfare/local-cluster';
import type { ServerProcess } from './node-deployment.js';

interface ProgramOptions {
  /** The name of its command. */
  readonly name: string;
  /** The content of its configuration file, which has its own folder. */
  configuration(folder: string): string;
  args(configurationFile: string): readonly string[];
  /** Where clients connect. */
  readonly port: number;
}

/** Null if it is not installed. Daemons are in folders that the PATH of a user may lack. */
async function findProgram(name: string): Promise<string | null> {
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

/** Resolves once the program listens. */
export async function startProgram({ name, configuration, args, port }: ProgramOptions): Promise<ServerProcess> {
  const path = await findProgram(name);
  if (path === null) throw new Error(notInstalled(name));
  return await Program.start({
    name,
    port,
    command: (folder) => {
      const file = join(folder, `${name}.conf`);
      writeFileSync(file, configuration(folder));
      return [path, ...args(file)];
    },
  });
}
