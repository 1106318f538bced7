/** The servers that are compared, and how each is started. */
import { fileURLToPath } from 'node:url';
import { Child, startNode } from '@fanfare/local-cluster';
import type { WireName } from './wire.js';

/** A server under test: one process. */
export interface Server extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
}

/** A driver may be measured in several variants, one for each wire it speaks. */
export interface Variant {
  readonly name: string;
  readonly wire: WireName;
  /** `env` is added to the server's environment. */
  start(env: Readonly<Record<string, string>>): Promise<Server>;
}

export const driverNames = ['fanfare', 'raw'] as const;
export type DriverName = (typeof driverNames)[number];

/** What raw servers promise. */
const fastTopics = { FANFARE_TOPICS: '{">":{"level":"fast"}}' };

export const variantsOf: Readonly<Record<DriverName, readonly Variant[]>> = {
  raw: [
    { name: 'raw', wire: 'raw', start: (env) => startRawServer([], env) },
    { name: 'raw deferred', wire: 'raw', start: (env) => startRawServer(['--deferred'], env) },
  ],
  fanfare: [
    { name: 'fanfare msgpack', wire: 'msgpack', start: (env) => startNode({ env: { ...fastTopics, ...env } }) },
    { name: 'fanfare json', wire: 'json', start: (env) => startNode({ env: { ...fastTopics, ...env } }) },
    { name: 'fanfare msgpack recoverable', wire: 'msgpack', start: (env) => startNode({ env }) },
  ],
};

const rawServer = fileURLToPath(new URL('../dist/raw-server.js', import.meta.url));

/** The environment of a server that is to collect its garbage on SIGUSR2. */
export const collectOnSignal: Readonly<Record<string, string>> = {
  NODE_OPTIONS: `--expose-gc --import=${new URL('../dist/collect-on-signal.js', import.meta.url).href}`,
};

const startDeadlineMs = 10_000;

async function startRawServer(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Server> {
  const child = new Child({ command: [process.execPath, rawServer, ...args], env: { ...process.env, ...env } });
  const port = await child.find(readPort, AbortSignal.timeout(startDeadlineMs));
  if (port === null) throw new Error(child.explain('The raw server ended before it listened.'));
  return { pid: child.pid, port, [Symbol.asyncDispose]: () => child.kill() };
}

function readPort(line: string): number | null {
  return line.startsWith('{') ? (JSON.parse(line) as { port: number }).port : null;
}
