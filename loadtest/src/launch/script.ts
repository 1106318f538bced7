/** Servers that are our own programs for Node. Each prints its port in one line. */
import { fileURLToPath } from 'node:url';
import { Child } from '@fanfare/local-cluster';
import type { ServerProcess } from './node-deployment.js';

const startDeadlineMs = 60_000;

/** `file`: the name of the built file in this folder. */
export async function startScript(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<ServerProcess> {
  const path = fileURLToPath(new URL(`../../dist/launch/${file}.js`, import.meta.url));
  const child = new Child({ command: [process.execPath, path, ...args], env: { ...process.env, ...env } });
  const port = await child.find(readPort, AbortSignal.timeout(startDeadlineMs));
  if (port === null) throw new Error(child.explain(`The server ${file} ended before it listened.`));
  return { pid: child.pid, port, [Symbol.asyncDispose]: () => child.kill() };
}

function readPort(line: string): number | null {
  return line.startsWith('{') ? (JSON.parse(line) as { port: number }).port : null;
}
