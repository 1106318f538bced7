/** The command as a process of its own. It runs the result of `npm run build`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { within } from './wait.js';

/** The file that `fanfare` runs. */
export const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));

interface Finished {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the node until it exits. */
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
