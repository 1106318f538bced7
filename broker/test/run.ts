/** The command, for as long as it runs by itself. It runs what `npm run build` wrote. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { within } from './wait.js';

/** What `fanfare` runs. */
export const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));

export interface Finished {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the node until it ends. */
export async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Finished> {
  const child = spawn(process.execPath, [main, ...args], { env: { PATH: process.env['PATH'], ...env } });
  let [out, err] = ['', ''];
  child.stdout.on('data', (data) => {
    out += data;
  });
  child.stderr.on('data', (data) => {
    err += data;
  });
  const [code] = await within('the process ends', once(child, 'close'));
  return { code, out, err };
}
